# One image for every process: `tidewatch worker`, `tidewatch query`, `tidewatch topics create`.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 OPENBLAS_NUM_THREADS=1

RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin tidewatch
WORKDIR /app

# Dependencies first: they change less often than the code.
COPY constraints.txt pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > requirements.txt \
 && pip install -c constraints.txt -r requirements.txt

COPY LICENSE README.md ./
COPY schemas schemas
COPY streams streams
RUN pip install --no-deps .

USER tidewatch
EXPOSE 8090
ENTRYPOINT ["tidewatch"]
CMD ["worker"]
