"""Does a short LMDB file still hold every page that its records use?

LMDB maps the file: reading a page behind its end kills the process (SIGBUS), so a half-copied file must be found out
before. Most healthy files reach to the last page that their meta page counts; a few end earlier, because LMDB never
writes pages that one transaction both took and gave back. Only the tree itself tells the two apart.

Source of the page layout: libraries/liblmdb/mdb.c of LMDB 0.9 (MDB_page, MDB_node, MDB_meta), 64-bit little-endian.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

PAGE_HEADER = 16
BRANCH, LEAF, LEAF2 = 0x01, 0x02, 0x20
BIG_DATA, SUB_TREE = 0x01, 0x02
NO_PAGE = (1 << 64) - 1
TREE = struct.Struct("<IHHQQQQQ")  # pad, flags, depth, branch, leaf and overflow pages, entries, root
META = struct.Struct("<IIQQ")  # magic, version, address, map size


def pages_missing(path: str, page_size: int) -> int | None:
    """The first page that a record needs and the file lacks; None when all are there. ValueError: not readable as a
    tree.
    """
    with open(path, "rb") as file:
        file.seek(0, 2)
        count = file.tell() // page_size
        newest = max((_meta(_page(file, i, page_size)) for i in (0, 1)), key=lambda meta: meta[1])
        todo = [newest[0]] if newest[0] != NO_PAGE else []
        seen: set[int] = set()
        while todo:
            number = todo.pop()
            if number >= count:
                return number
            if number in seen:
                raise ValueError(f"page {number} is reached twice")
            seen.add(number)
            children, last = _references(_page(file, number, page_size), page_size)
            todo += children
            if last >= count:
                return last
    return None


def _page(file: BinaryIO, number: int, size: int) -> bytes:
    file.seek(number * size)
    return file.read(size)


def _meta(page: bytes) -> tuple[int, int]:
    """Root page of the records' tree, and the transaction that wrote this meta page."""
    trees = PAGE_HEADER + META.size
    root = TREE.unpack_from(page, trees + TREE.size)[-1]
    transaction = struct.unpack_from("<Q", page, trees + 2 * TREE.size + 8)[0]
    return root, transaction


def _references(page: bytes, size: int) -> tuple[list[int], int]:
    """Pages of the tree that this one points to, and the last page of the values that it points to (-1: none)."""
    flags, lower = struct.unpack_from("<HH", page, 10)
    children: list[int] = []
    last = -1
    if flags & LEAF2 or not flags & (BRANCH | LEAF):
        if not flags & LEAF2:
            raise ValueError("a page that is neither branch nor leaf")
        return children, last
    for offset in struct.unpack_from(f"<{(lower - PAGE_HEADER) // 2}H", page, PAGE_HEADER):
        low, high, node_flags, key_size = struct.unpack_from("<HHHH", page, offset)
        data = offset + 8 + key_size
        if flags & BRANCH:
            children.append(low | high << 16 | node_flags << 32)
        elif node_flags & BIG_DATA:
            first = struct.unpack_from("<Q", page, data)[0]
            last = max(last, first + (PAGE_HEADER - 1 + (low | high << 16)) // size)
        elif node_flags & SUB_TREE:
            children.append(TREE.unpack_from(page, data)[-1])
    return children, last
