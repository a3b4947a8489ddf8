// Counts what style.md, section 4, forbids, and holds it to a budget that only falls: `node .scripts/plain-english.ts` prints the
// figures, `--list` each place, `--keep` writes the figures as the new budget where they are lower. PLACE limits the list.
//
// What is counted, in comments of `src` (`.ts`, `.tsx`) of packages and apps, and in the texts of their READMEs:
// - Openings: a sentence of a comment that begins with what, who, whoever, whose, one that, one whose, or of these.
// - Pronouns: a comment whose first word is it, they, them, this, that, these or those, without a noun after it.
// - Long sentences: of a README, with more than 30 words. Tables, code, headings and lists of links are left out.
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './workspace.ts'

const BUDGET = '.config/plain-english.json'
const LONGEST_SENTENCE = 30

const OPENING = /^(?:What|Who|Whoever|Whose|One (?:that|which|who|whose)|Of (?:these|those))\b/
const PRONOUN =
  /^(?:It|They|Them)\b|^(?:This|That|These|Those) (?:is|are|was|were|has|have|does|do|can|may|will|that|which|who|whose)\b/

/** A place that breaks a rule. */
interface Place {
  readonly rule: 'openings' | 'pronouns' | 'longSentences'
  readonly path: string
  readonly line: number
  readonly text: string
}

type Figures = Record<Place['rule'], number>

/** Returns one line per rule whose budget is exceeded. */
export function checkPlainEnglish(): string[] {
  const budget = readBudget()
  const figures = figuresOf(places())
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
  const figures: Figures = { openings: 0, pronouns: 0, longSentences: 0 }
  for (const { rule } of all) figures[rule]++
  return figures
}

function places(): Place[] {
  const read = (pattern: string, find: (path: string, text: string) => Place[]): Place[] =>
    globSync(pattern, { cwd: root, exclude: ['**/node_modules/**', '**/generated/**'] })
      .map((path) => path.replaceAll('\\', '/'))
      .sort()
      .flatMap((path) => find(path, readFileSync(join(root, path), 'utf8')))
  return [
    ...read('{packages,apps}/*/src/**/*.{ts,tsx}', ofSource),
    ...read('{README.md,{packages,apps}/*/README.md}', ofReadme),
  ]
}

function ofSource(path: string, text: string): Place[] {
  return commentsOf(text).flatMap(({ line, text: comment }) => {
    const sentences = sentencesOf(comment)
    const found = sentences.filter((sentence) => OPENING.test(sentence))
    const all = found.map((sentence): Place => ({ rule: 'openings', path, line, text: sentence }))
    const [first = ''] = sentences
    return PRONOUN.test(first) ? [{ rule: 'pronouns', path, line, text: first }, ...all] : all
  })
}

/** The comments of a source: neighbouring line comments are one. Tags of docstrings begin a comment of their own. */
function commentsOf(source: string): { line: number; text: string }[] {
  const pattern = /^[ \t]*(?:\/\/[^\n]*(?:\n[ \t]*\/\/[^\n]*)*|\/\*\*?.*?\*\/)|[ \t]\/\/ [^\n]*/gms
  return [...source.matchAll(pattern)].flatMap((match) => {
    const line = source.slice(0, match.index).split('\n').length
    const text = match[0]
      .replaceAll(/^[ \t]*(?:\/\*\*?|\*\/|\*|\/\/)/gm, '')
      .replaceAll('*/', '')
      .trim()
    return text.split(/^ *@\w+.*?- |^ *@\w+ /m).map((part) => ({ line, text: part.replaceAll(/\s+/g, ' ').trim() }))
  })
}

function ofReadme(path: string, text: string): Place[] {
  const prose = text
    .replaceAll(/^```.*?^```$/gms, (code) => code.replaceAll(/[^\n]/g, ''))
    .replaceAll(/^(?:\||#|!|<)[^\n]*$/gm, '')
  const found: Place[] = []
  let offset = 0
  for (const paragraph of prose.split(/\n(?=\n)|\n(?=[-*] |\d+\. )/)) {
    const line = prose.slice(0, offset).split('\n').length + 1
    offset += paragraph.length + 1
    for (const sentence of sentencesOf(paragraph.replaceAll(/\s+/g, ' ').trim()))
      if (wordsOf(sentence) > LONGEST_SENTENCE) found.push({ rule: 'longSentences', path, line, text: sentence })
  }
  return found
}

function sentencesOf(text: string): string[] {
  return text.split(/(?<=[.!?:][)`*]*) +(?=[A-Z`*([])/)
}

/** Words of a sentence. Code counts as one word, and so does a link's address. */
function wordsOf(sentence: string): number {
  const plain = sentence.replaceAll(/`[^`]*`/g, 'code').replaceAll(/\]\([^)]*\)/g, ']')
  return plain.split(/\s+/).filter((word) => /\w/.test(word)).length
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { list: { type: 'boolean' }, keep: { type: 'boolean' } },
    allowPositionals: true,
  })
  const all = places()
  const figures = figuresOf(all)
  const budget = readBudget()
  for (const rule of rulesOf(figures))
    console.log(`${rule.padEnd(16)} ${String(figures[rule]).padStart(6)}   budget ${budget[rule]}`)
  if (values.list)
    for (const { rule, path, line, text } of all.filter((place) => place.path.startsWith(positionals[0] ?? '')))
      console.log(`${path}:${line} [${rule}] ${text}`)
  if (values.keep) {
    for (const rule of rulesOf(figures)) budget[rule] = Math.min(budget[rule], figures[rule])
    writeFileSync(join(root, BUDGET), `${JSON.stringify(budget, null, 2)}\n`)
  }
}
