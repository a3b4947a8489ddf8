import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Attempt, Job, JobResult } from '../plan/job.ts'

/** The results of a plan. An attempt counts once, even if it is reported again. */
export class Results {
  readonly #jobs: ReadonlyMap<string, Job>
  readonly #attempts = new Map<string, Map<number, Attempt>>()

  constructor(jobs: readonly Job[]) {
    this.#jobs = new Map(jobs.map((job) => [job.id, job]))
  }

  /** Adds an attempt; the first one of each number counts. */
  add(attempt: Attempt): void {
    const all = this.#attempts.get(attempt.job) ?? new Map<number, Attempt>()
    if (!all.has(attempt.attempt)) all.set(attempt.attempt, attempt)
    this.#attempts.set(attempt.job, all)
  }

  /** The jobs in the plan's order. A job without an attempt has not passed. */
  get all(): readonly JobResult[] {
    return [...this.#jobs.values()].map((job) => {
      const attempts = [...(this.#attempts.get(job.id)?.values() ?? [])].sort((a, b) => a.attempt - b.attempt)
      return { job, attempts, passed: attempts.at(-1)?.outcome === 'passed' }
    })
  }

  /** Whether every job has met its expectation. */
  get passed(): boolean {
    return this.all.every(({ passed }) => passed)
  }

  /** Writes `results.json`, `results.xml` (JUnit) and `results.html` into a folder, each whole or not at all. */
  write(folder: string, seconds: number): void {
    mkdirSync(folder, { recursive: true })
    const { all } = this
    const passed = all.filter((result) => result.passed).length
    const summary = { jobs: all.length, passed, failed: all.length - passed, seconds }
    const json = { ...summary, results: all.map((result) => ({ ...result, job: { ...result.job } })) }
    replace(join(folder, 'results.json'), `${JSON.stringify(json, null, 2)}\n`)
    replace(join(folder, 'results.xml'), junitOf(all, seconds))
    const hasLog = (name: string): boolean => existsSync(join(folder, 'logs', name))
    replace(join(folder, 'results.html'), pageOf(all, seconds, hasLog))
  }
}

function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

/** The page runs no script and loads nothing, whatever a guest has printed. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'"
const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.8rem 0.3rem 0; border-bottom: 1px solid #8886; }
td.time { text-align: right; white-space: nowrap; }
.passed { color: #1a7f37; } .failed { color: #cf222e; font-weight: 600; }
pre { max-height: 24rem; overflow: auto; background: #8882; padding: 0.6rem; white-space: pre-wrap; }
code { overflow-wrap: anywhere; font-size: 85%; }
`

/**
 * Results as one page of HTML for people: failed jobs first, with the last lines of each and a link to its log.
 *
 * @param seconds - total host time
 * @param hasLog - whether the folder of logs has a file: without a store, other hosts keep their logs
 */
export function pageOf(results: readonly JobResult[], seconds: number, hasLog: (name: string) => boolean): string {
  const failed = results.filter(({ passed }) => !passed)
  const passed = results.filter((result) => result.passed)
  const title = `${results.length} jobs: ${passed.length} passed, ${failed.length} failed`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${title}</h1>
<p>In ${seconds.toFixed(1)} s. The same as <a href="results.json">JSON</a> and <a href="results.xml">JUnit</a>.</p>
<table>
<thead><tr><th>Job</th><th>Result</th><th>Time</th><th>Files</th></tr></thead>
<tbody>
${[...failed, ...passed].map((result) => rowOf(result, hasLog)).join('\n')}
</tbody>
</table>
</body>
</html>
`
}

function rowOf({ job, attempts, passed }: JobResult, hasLog: (name: string) => boolean): string {
  const last = attempts.at(-1)
  const again = attempts.length > 1 ? ` (attempt ${attempts.length})` : ''
  const outcome = last === undefined ? 'not run' : last.outcome
  const time = attempts.reduce((sum, attempt) => sum + attempt.seconds, 0)
  const cells = [
    `<td>${escaped(job.name)}${passed || last === undefined ? '' : tailOf(last)}</td>`,
    `<td class="${passed ? 'passed' : 'failed'}">${outcome}${again}</td>`,
    `<td class="time">${time.toFixed(1)} s</td>`,
    `<td>${attempts.map((attempt) => filesOf(job.id, attempt, hasLog)).join('<br>')}</td>`,
  ]
  return `<tr>${cells.join('')}</tr>`
}

function tailOf({ detail, tail }: Attempt): string {
  const lines = tail === '' ? '' : `<details><summary>last lines</summary><pre>${escaped(tail)}</pre></details>`
  return `<br>${escaped(detail)}${lines}`
}

/** Links to the log, and lists arguments of `retrap-fleet get` for files that the machine has left in a store. */
function filesOf(id: string, { attempt, artefacts = [] }: Attempt, hasLog: (name: string) => boolean): string {
  const name = `${id}.${attempt}.log`
  const log = hasLog(name)
    ? `<a href="logs/${encodeURIComponent(name)}">log ${attempt}</a>`
    : `log ${attempt} is on its worker’s host`
  const others = artefacts.filter(({ name }) => name !== 'log')
  const list = others.map(({ name, sha256 }) => `<br>${escaped(name)} <code>${escaped(sha256)}</code>`)
  return `${log}${list.join('')}`
}

/**
 * Results as JUnit has them: a suite with a case for each job. A machine that could not be made is an error, any other end but
 * the expected one a failure.
 *
 * Source: JUnit 4's ant task, as Jenkins and GitLab read it (testsuites, testsuite, testcase, failure, error, system-out).
 */
export function junitOf(results: readonly JobResult[], seconds: number): string {
  const last = results.map(({ attempts }) => attempts.at(-1))
  const errors = last.filter((attempt) => attempt === undefined || attempt.outcome === 'error').length
  const failures = results.filter(({ passed }) => !passed).length - errors
  const counts = `tests="${results.length}" failures="${failures}" errors="${errors}" time="${seconds.toFixed(3)}"`
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `  <testsuite name="retrap-fleet" ${counts}>`,
  ]
  for (const result of results) lines.push(...caseOf(result))
  return `${[...lines, '  </testsuite>', '</testsuites>'].join('\n')}\n`
}

function caseOf({ job, attempts, passed }: JobResult): string[] {
  const time = attempts.reduce((sum, attempt) => sum + attempt.seconds, 0)
  const head = `    <testcase classname="retrap.${job.system}" name="${escaped(job.name)}" time="${time.toFixed(3)}"`
  if (passed) return [`${head}/>`]
  const last = attempts.at(-1)
  const kind = last === undefined || last.outcome === 'error' ? 'error' : 'failure'
  const message = last === undefined ? 'it was not run' : last.detail
  return [
    `${head}>`,
    `      <${kind} type="${last?.outcome ?? 'not-run'}" message="${escaped(message)}"/>`,
    ...(last === undefined ? [] : [`      <system-out>${escaped(last.tail)}</system-out>`]),
    '    </testcase>',
  ]
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
}

/** Text as XML and HTML have it. Characters that XML 1.0 does not allow become U+FFFD. */
function escaped(text: string): string {
  // oxlint-disable-next-line no-control-regex -- the characters that XML does not have
  const allowed = text.toWellFormed().replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
  return allowed.replaceAll(/[&<>"\n]/g, (c) => ESCAPES[c] ?? c)
}
