// Counts what style.md, section 4, forbids, and holds it to a budget that only falls: `node .scripts/plain-english.ts` prints the
// figures, `--list` each place, `--keep` writes the figures as the new budget where they are lower. PLACE… limits the list, and what is drawn.
// packages/tooling/src/plain-english.ts has the rules. It reads comments of `src` (`.ts`, `.tsx`) of packages and apps, and READMEs.
//
// `--draw 100 --seed 46` prints comments to be judged by a person. The checklist, of which one "no" fails a comment:
// 1. Does it begin with a noun phrase, a verb in the third person, or a sentence with a noun as its subject?
// 2. Does each "it", "they", "that", "those" stand for a noun of the comment itself?
// 3. Has each sentence one idea?
// 4. Does it say what the thing is, with its unit and its default where there is one, or why the code is as it is?
// 5. Is each word meant literally?
// 6. Is it clear with no more than the declaration or the line below, and without the commit that added it?
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { commentsOf, ofReadme, ofSource, type Place } from '../packages/tooling/src/plain-english.ts'
import { numbers } from '../packages/tooling/src/random.ts'
import { root } from './workspace.ts'

const BUDGET = '.config/plain-english.json'
/** Comments of fewer words are names and marks of tools: nothing in them is to be judged. */
const JUDGED_WORDS = 4

type Figures = Record<Place['rule'], number>

/** Returns one line per rule whose budget is exceeded. */
export function checkPlainEnglish(): string[] {
  const budget = readBudget()
  const figures = figuresOf(places().map(({ place }) => place))
  return rulesOf(figures)
    .filter((rule) => figures[rule] > budget[rule])
    .map((rule) => `${figures[rule]} ${rule}, and the budget is ${budget[rule]}: node .scripts/plain-english.ts --list`)
}

function readBudget(): Figures {
  return JSON.parse(readFileSync(join(root, BUDGET), 'utf8')) as Figures
}

function rulesOf(figures: Figures): Place['rule'][] {
  return Object.keys(figures) as Place['rule'][]
}

function figuresOf(all: readonly Place[]): Figures {
  const figures: Figures = {
    openings: 0,
    pronouns: 0,
    vague: 0,
    clauses: 0,
    deictics: 0,
    figures: 0,
    longSentences: 0,
  }
  for (const { rule } of all) figures[rule]++
  return figures
}

interface File {
  readonly path: string
  readonly text: string
}

const SOURCES = '{packages,apps}/*/src/**/*.{ts,tsx}'
const READMES = '{README.md,{packages,apps}/*/README.md}'
/** Its list of figures of speech would be found by itself. */
const RULES = 'packages/tooling/src/plain-english.ts'

function files(pattern: string): File[] {
  return globSync(pattern, { cwd: root, exclude: ['**/node_modules/**', '**/generated/**', RULES] })
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

function places(): { path: string; place: Place }[] {
  return [
    ...files(SOURCES).flatMap(({ path, text }) => ofSource(text).map((place) => ({ path, place }))),
    ...files(READMES).flatMap(({ path, text }) => ofReadme(text).map((place) => ({ path, place }))),
  ]
}

/** Draws comments without replacement. @returns one line for each */
function draw(count: number, seed: number, isIn: (path: string) => boolean): string[] {
  const all = files(SOURCES).flatMap(({ path, text }) =>
    (isIn(path) ? commentsOf(text) : [])
      .filter((comment) => (comment.text.match(/[A-Za-z]{2,}/g) ?? []).length >= JUDGED_WORDS)
      .filter((comment) => !comment.text.startsWith('oxlint-'))
      .map((comment) => `${path}:${comment.line} ${comment.text}`),
  )
  const below = numbers(seed)
  console.log(`${Math.min(count, all.length)} of ${all.length} comments, seed ${seed}`)
  return Array.from({ length: Math.min(count, all.length) }, () => all.splice(below(all.length), 1)[0] as string)
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: {
      list: { type: 'boolean' },
      keep: { type: 'boolean' },
      draw: { type: 'string' },
      seed: { type: 'string', default: '1' },
    },
    allowPositionals: true,
  })
  const isIn = (path: string): boolean => positionals.length === 0 || positionals.some((one) => path.startsWith(one))
  if (values.draw !== undefined) {
    for (const [i, line] of draw(Number(values.draw), Number(values.seed), isIn).entries())
      console.log(`${i + 1}. ${line}`)
    process.exit()
  }
  const all = places()
  const figures = figuresOf(all.map(({ place }) => place))
  const budget = readBudget()
  for (const rule of rulesOf(figures))
    console.log(`${rule.padEnd(16)} ${String(figures[rule]).padStart(6)}   budget ${budget[rule]}`)
  if (values.list)
    for (const { path, place } of all.filter((one) => isIn(one.path)))
      console.log(`${path}:${place.line} [${place.rule}] ${place.text}`)
  if (values.keep) {
    for (const rule of rulesOf(figures)) budget[rule] = Math.min(budget[rule] ?? Infinity, figures[rule])
    writeFileSync(join(root, BUDGET), `${JSON.stringify(budget, null, 2)}\n`)
  }
}
