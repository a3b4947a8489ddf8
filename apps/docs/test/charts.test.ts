/** The charts of the page of figures. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Comparison } from '@retrap/tooling/bench-history'
import { expect, test } from 'vitest'
import { chartHistory, drawSeries } from '../build/charts.ts'
import { root } from './support/programs.ts'

const RUN = { commit: '0123456789ab', host: 'a host', bench: 'walk', peer: 'a <naive> walker', what: '' }
const at = (date: string, ratio: number): Comparison => ({ ...RUN, date, ratio })

test('a line has a point for each run: time to the right, ratios from 0 upwards', () => {
  const drawn = drawSeries([
    at('2026-01-01T00:00:00Z', 2),
    at('2026-01-02T00:00:00Z', 4),
    at('2026-01-05T00:00:00Z', 1),
  ])
  expect(drawn).toContain('points="4.0,24.0 62.0,4.0 236.0,34.0"')
  expect(drawn).toContain('cx="236.0" cy="34.0"')
  expect(drawn).toContain('3 runs, from 2 to 1')
})

test('one run is a point at the right', () => {
  expect(drawSeries([at('2026-01-01T00:00:00Z', 2)])).toContain('points="236.0,4.0"')
})

test('a row has the last run of a series, and text stays text', () => {
  const html = chartHistory([at('2026-01-02T00:00:00Z', 4), at('2026-01-01T00:00:00Z', 2)])
  expect(html).toContain(
    '<td>walk</td><td>a &lt;naive&gt; walker</td><td>4</td><td><span title="0123456789ab, a host">2026-01-02</span></td>',
  )
  expect(html.match(/<tr>/g)).toHaveLength(2)
})

test('the history in the repository can be charted', () => {
  const history = JSON.parse(readFileSync(join(root, 'figures.json'), 'utf8')) as Comparison[]
  expect(history.length).toBeGreaterThan(0)
  expect(chartHistory(history)).toContain('<svg')
})
