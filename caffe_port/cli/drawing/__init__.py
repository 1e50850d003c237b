"""Pictures without any drawing program: shapes, their two renderers, the drawing of a net, charts."""
