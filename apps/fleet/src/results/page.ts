import type { Attempt, JobResult } from '../plan/job.ts'
import { escaped } from './junit.ts'

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
