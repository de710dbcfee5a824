"""Measuring editing methods on the field's data sets: `sake bench`, `sake import`.

The product (`sake_registry`) imports nothing of it; the extra `bench` brings what it needs. From
Python:

- `sake_bench.config`: `read_config(find_config("table3"))`, a run as a file states it;
- `sake_bench.run`: `run(config.request(work), settings)`, which measures it;
- `sake_bench.results`: `Run`, what comes out, with `Run.read` and its JSON Schema;
- `sake_bench.reports.markdown`, `.html`: a run as text and as a page;
- `sake_bench.datasets`: records of CounterFact, RippleEdits, zsRE/KnowEdit as edit files.
"""
