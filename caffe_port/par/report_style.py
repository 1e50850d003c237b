"""The look of the report: one style sheet, light and dark, from a phone to a desktop; nothing is loaded."""

STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf7;--ink:#22211e;--soft:#6b6860;--line:#dedad0;--card:#fff;--one:#b8860b;
--two:#1f6f8b;--three:#8a4f7d;--good:#2f7d4f;--bad:#b3402a;--tint:#f2efe7}
@media (prefers-color-scheme:dark){:root{--paper:#171715;--ink:#e8e5dc;--soft:#a09c91;--line:#35332e;--card:#1e1d1a;
--one:#dcae46;--two:#62b5d1;--three:#c78dbb;--good:#6fbf8d;--bad:#e58a74;--tint:#24231f}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:17px/1.55 Charter,"Bitstream Charter","Iowan Old Style",
"Palatino Linotype",Georgia,serif;font-variant-numeric:oldstyle-nums}
main{max-width:66rem;margin:0 auto;padding:3.5rem 1.5rem 5rem}
h1{font-size:2.3rem;line-height:1.12;font-weight:600;letter-spacing:-.015em;margin:0 0 .6rem}
h2{font-size:1.35rem;font-weight:600;margin:3.6rem 0 .5rem;padding-top:1.1rem;border-top:1px solid var(--line)}
h3{font-size:1rem;font-weight:600;margin:1.6rem 0 .3rem}
p{max-width:42rem;margin:.5rem 0}
.lead{font-size:1.2rem;line-height:1.45;max-width:44rem}
.eyebrow,.note,figcaption,th,dt,.key{font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.eyebrow{font-size:.78rem;letter-spacing:.09em;text-transform:uppercase;color:var(--soft);margin:0 0 .8rem}
.note{font-size:.83rem;line-height:1.45;color:var(--soft)}
.note{max-width:46rem}
a{color:inherit}
code{font:.86em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{font:.8rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--tint);padding:.8rem 1rem;
overflow-x:auto;border-radius:4px}
dl.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.9rem 1.4rem;margin:1.8rem 0 0}
dl.facts dt{font-size:.75rem;color:var(--soft)}
dl.facts dd{margin:0;font-size:1rem;font-variant-numeric:lining-nums;overflow-wrap:anywhere}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;width:100%;font-size:.93rem;font-variant-numeric:lining-nums tabular-nums}
th{font-weight:500;font-size:.78rem;color:var(--soft);text-align:left}
thead th{border-bottom:1px solid var(--line);vertical-align:bottom;white-space:nowrap}
th,td{padding:.36rem .7rem .36rem 0}
tbody th{font-size:.88rem;color:var(--ink);font-weight:400}
tbody tr+tr>*{border-top:1px solid var(--line)}
.n{text-align:right;white-space:nowrap}
td.best{font-weight:700}
tr.quiet td,tr.quiet th{color:var(--soft)}
.up{color:var(--good)}.down{color:var(--bad)}
table.measures{max-width:50rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1.4rem 2rem;
margin-top:1rem}
.charts figure{margin:0}
svg{display:block;width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
svg text{fill:var(--soft)}svg .grid{stroke:var(--line);stroke-width:1}
svg .raw{opacity:.28;stroke-width:1}svg path{fill:none;stroke-width:1.8;stroke-linejoin:round}
.c1{stroke:var(--one)}.c2{stroke:var(--two)}.c3{stroke:var(--three)}
.f1{fill:var(--one)}.f2{fill:var(--two)}.f3{fill:var(--three)}svg text.f1{fill:var(--one)}svg text.f2{fill:var(--two)}
svg text.f3{fill:var(--three)}
figcaption{font-size:.83rem;color:var(--soft);line-height:1.4;margin-top:.3rem}
.db{position:relative;height:1.1rem;min-width:8rem;border-bottom:1px solid var(--line)}
.db>*{position:absolute;top:50%}
.db .chance{top:0;bottom:0;width:1px;background:var(--soft);opacity:.5}
.db .span{height:3px;margin-top:-1px;background:var(--line)}
.db .one,.db .two,.key i{width:.68rem;height:.68rem;border-radius:50%;transform:translate(-50%,-50%)}
.db .one{background:var(--card);border:2px solid var(--one)}.db .two{background:var(--two)}
.key{font-size:.83rem;color:var(--soft);display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;margin:.7rem 0}
.key span{white-space:nowrap}
.key i{display:inline-block;transform:none;margin-right:.4rem;vertical-align:-.05rem;border-radius:2px}
.key i.round{border-radius:50%}.key i.one{border:2px solid var(--one)}.key i.two{background:var(--two)}
.fails{columns:2;column-gap:2.5rem;padding-left:1.1rem;margin:.6rem 0;font-size:.95rem}
.fails li{break-inside:avoid;margin:.15rem 0}
.sample{display:grid;grid-template-columns:2fr 1.04fr;gap:.2rem 1rem;margin:2.2rem 0 0}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:.3rem .5rem;align-content:start}
.tiles figure{margin:0}
.tiles img{display:block;width:100%;height:auto;border-radius:2px;background:var(--tint)}
.tiles figcaption{font-size:.74rem;margin-top:.2rem;overflow-wrap:anywhere}
.maps figcaption{font-size:.66rem;line-height:1.25}
.sample .chips{grid-column:1/-1}
.chips{font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-size:.78rem;line-height:1.75;
margin:.5rem 0 0;max-width:none;color:var(--soft)}
.chips b{font-weight:600;color:var(--good)}.chips s{color:var(--bad);text-decoration:none;font-weight:600}
.chips u{color:var(--bad);text-decoration:none;border-bottom:1px dashed currentColor}
.same{color:var(--good)}.differs{color:var(--bad);font-weight:600}.known{color:var(--one)}
details summary{cursor:pointer;font-size:.93rem;color:var(--soft);margin:.8rem 0}
footer{margin-top:4rem;border-top:1px solid var(--line);padding-top:1rem}
@media (max-width:40rem){body{font-size:16px}main{padding:2rem 1rem 3rem}h1{font-size:1.7rem}.lead{font-size:1.08rem}
.wide{display:none}.fails{columns:1}th,td{padding-right:.5rem}.db{min-width:5.5rem}
thead th,thead th.n{white-space:normal}
.pm{display:block}table.tight{font-size:.8rem}table.tight th,table.tight td{padding-right:.25rem}
table.tight th{font-size:.7rem}
.sample{grid-template-columns:1fr;gap:.5rem}h2{margin-top:2.6rem}table.measures{font-size:.8rem}
table.measures th,table.measures td{padding-right:.28rem}
table.measures th{font-size:.74rem}tbody th{font-size:.82rem}}
@media print{main{max-width:none;padding:0}h2{break-after:avoid}.sample,tr,.charts figure{break-inside:avoid}}
"""
