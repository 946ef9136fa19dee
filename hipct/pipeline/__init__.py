"""The main job: configuration, plan, streamed run, ledger, report."""
