// Charts of what the benches of each night have measured: a table, with a line drawn for each comparison.
import { seriesOf, type Comparison } from '@retrap/tooling/bench-history'

const [WIDTH, HEIGHT, MARGIN] = [240, 48, 4]

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

/**
 * Draws one series: time to the right, the ratio upwards from 0.
 *
 * @param series - at least one comparison, oldest first
 */
export function drawSeries(series: readonly Comparison[]): string {
  const times = series.map(({ date }) => Date.parse(date))
  const [first, last] = [times[0] ?? 0, times.at(-1) ?? 0]
  const highest = Math.max(...series.map(({ ratio }) => ratio))
  const points = series.map(({ ratio }, i) => {
    const x = last === first ? 1 : ((times[i] ?? first) - first) / (last - first)
    return [
      (MARGIN + x * (WIDTH - 2 * MARGIN)).toFixed(1),
      (HEIGHT - MARGIN - (ratio / highest) * (HEIGHT - 2 * MARGIN)).toFixed(1),
    ].join()
  })
  const [x, y] = points.at(-1)?.split(',') ?? []
  const label = escaped(`${series.length} runs, from ${series[0]?.ratio} to ${series.at(-1)?.ratio}`)
  return (
    `<svg role="img" aria-label="${label}" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}">` +
    `<line x1="0" y1="${HEIGHT - MARGIN}" x2="${WIDTH}" y2="${HEIGHT - MARGIN}" stroke="currentColor" opacity="0.3"/>` +
    `<polyline points="${points.join(' ')}" fill="none" stroke="currentColor" stroke-width="1.5"/>` +
    `<circle cx="${x}" cy="${y}" r="2.5" fill="currentColor"/></svg>`
  )
}

/** The table of all series of a history, as HTML: the bench, its peer, the last ratio with its date, the line. */
export function chartHistory(history: readonly Comparison[]): string {
  const rows = [...seriesOf(history).values()].map((series) => {
    const { bench, peer, what, ratio, date, commit, host } = series.at(-1)!
    const compared = escaped(what === '' ? peer : `${peer} (${what})`)
    const measured = `<span title="${escaped(`${commit}, ${host}`)}">${escaped(date.slice(0, 10))}</span>`
    return `<tr><td>${escaped(bench)}</td><td>${compared}</td><td>${ratio}</td><td>${measured}</td><td>${drawSeries(series)}</td></tr>`
  })
  const head = ['bench', 'times the speed of', 'ratio', 'measured', 'over time'].map((text) => `<th>${text}</th>`)
  return `<table><thead><tr>${head.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`
}
