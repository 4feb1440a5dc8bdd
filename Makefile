# Every target is one line: make the environment if it is not there, then call `course`.
# On Windows: `py -3.11 tools\bootstrap.py`, then `.venv\Scripts\course book`.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo $$p && exit; done; echo python3)
READY = $(PYTHON) tools/bootstrap.py
COURSE = .venv/bin/course

.PHONY: help book pdf test quick serve lint execute bench exercises grade wheel links audit colab doctor clean
help:
	@sed -n 's/^\([a-z]*\): *## */make \1	/p' $(MAKEFILE_LIST)
book: ## build the web book to _build/html
	@$(READY) && $(COURSE) book
pdf: ## print the whole book to _build/pdf/book.pdf
	@$(READY) && $(COURSE) pdf
test: ## all tests, with the network cut
	@$(READY) --tests && $(COURSE) test
quick: ## tests without the long notebooks (at most 5 minutes)
	@$(READY) --tests && $(COURSE) test --quick
serve: ## show the book on http://127.0.0.1:8000
	@$(READY) && $(COURSE) serve
lint: ## format, style and types
	@$(READY) && $(COURSE) lint
execute: ## run all notebooks again, in place
	@$(READY) && $(COURSE) execute
bench: ## time the models against transformers (about 5 minutes on a quiet machine)
	@$(READY) && $(COURSE) bench
exercises: ## write the students' notebooks anew from the solutions
	@$(READY) && $(COURSE) exercises
grade: ## prove the graders: wrong answers lose, right ones do not
	@$(READY) && $(COURSE) grade --self-test
wheel: ## wheel and source archive to dist/, tried out
	@$(READY) && $(COURSE) wheel
links: ## ask for every address that the book names (needs the network)
	@$(READY) && $(COURSE) links
audit: ## known vulnerabilities in the pinned versions (needs the network)
	@$(READY) && $(COURSE) audit
colab: ## run each chapter alone in this Python, as Colab does (needs no environment)
	@$(PYTHON) tools/alone.py
doctor: ## what is there, what is not, what that costs
	@$(READY) && $(COURSE) doctor
clean: ## remove what was built (the environment and fetched data stay)
	rm -rf _build
