// What the page of figures charts, made when the page is built. VitePress expects a default export.
import { readFileSync } from 'node:fs'
import { chartHistory } from '../build/charts.ts'
import type { Comparison } from '@retrap/tooling/bench-history'

declare const data: string
export { data }

export default {
  watch: ['../figures.json'],
  load: ([file]: readonly string[]): string =>
    chartHistory(JSON.parse(readFileSync(file as string, 'utf8')) as Comparison[]),
}
