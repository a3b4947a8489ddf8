// The start page's other picture, `src/travel.svg`: a loop of ten seconds of going back to who wrote a byte, read off a run.
import type { Page } from 'puppeteer-core'
import { press, seen, terminalOf, visitorOf } from '../test/support/visitor.ts'

/** Of the picture. */
const [WIDTH, HEIGHT] = [916, 560]
const [PAPER, PANEL, INK, SOFT, ACCENT, SLOW, SLOWED, LINE] = [
  ...(['#14181a', '#1c2124', '#e8ebe9', '#a9b2b0'] as const),
  ...(['#5fd0a8', '#ffbf66', '#3a2c12', '#394145'] as const),
]
/** Columns of text that fit, and rows of code before and after the next instruction. */
const [COLUMNS, ROWS_BESIDE] = [92, 4]

/** Read off the page. */
interface Travelled {
  readonly terminal: readonly string[]
  readonly answer: string
  /** Rows of code; the marked one is next. */
  readonly code: readonly { readonly text: string; readonly isNext: boolean }[]
  /** Where on the time line the write is, from 0 to 1. */
  readonly at: number
  /** Paths of the time line, and what they are drawn in. */
  readonly lanes: readonly string[]
  readonly box: string
}

/** Goes through the first session on Debian. */
export async function travel(page: Page): Promise<Travelled> {
  const visitor = visitorOf(page)
  const bar = (): Promise<string> => page.$eval('.instrument', (one) => (one as HTMLElement).innerText)
  await press(visitor, 'Start Debian amd64')
  await seen(() => terminalOf(visitor), /# \s*$/)
  await press(visitor, 'Debugger')
  await press(visitor, 'Record it')
  await press(visitor, 'Type it')
  await seen(() => terminalOf(visitor), /echo 42[^]*# \s*$/)
  await press(visitor, 'Find it')
  await press(visitor, 'Ask')
  const answer = await seen(bar, /it was pid [^\n]*/)
  const terminal = (await terminalOf(visitor)).split('\n').map((row) => row.trimEnd())
  await press(visitor, 'Go there')
  await seen(bar, /In the past/)
  await page.waitForSelector('.rows .next')
  return {
    ...{ answer, terminal: terminal.filter((row, i) => row !== '' && i > 0).slice(-4) },
    code: await page.$$eval('.rows li', (rows) =>
      rows.map((row) => ({ text: row.textContent.trim(), isNext: row.classList.contains('next') })),
    ),
    at: await page.$eval('.track .here', (one) => Number.parseFloat((one as HTMLElement).style.left) / 100),
    lanes: await page.$$eval('.track path', (all) => all.map((one) => one.getAttribute('d') ?? '')),
    box: await page.$eval('.track svg', (one) => one.getAttribute('viewBox')!),
  }
}

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** Draws the loop: the command, the question, the way back, and the instruction. Who wants no motion sees its end. */
export function drawTravel({ terminal, answer, code, at, lanes, box }: Travelled): string {
  const text = (x: number, y: number, content: string, colour: string = INK, more = ''): string =>
    `<text x="${x}" y="${y}" fill="${colour}"${more}>${escape(content)}</text>`
  const next = code.findIndex(({ isNext }) => isNext)
  const rows = code.slice(Math.max(0, next - ROWS_BESIDE), next + ROWS_BESIDE - 1)
  const sans = ' class="s"'
  const [, first = answer, rest = ''] = /^(.{1,70}?),? called by (.*)$/.exec(answer) ?? []
  const shown = [
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="${PAPER}"/>`,
    ...terminal.map((row, i) => text(24, 44 + 24 * i, row.slice(0, COLUMNS))),
    `<g class="past"><rect x="12" y="12" width="892" height="124" rx="8" fill="${SLOW}" fill-opacity=".1" stroke="${SLOW}"/>`,
    `${text(890, 40, 'Past', SLOW, `${sans} text-anchor="end" font-weight="700"`)}</g>`,
    `<g class="ask"><rect x="24" y="152" width="300" height="40" rx="6" fill="${PANEL}" stroke="${LINE}"/>`,
    `${text(40, 178, 'panic_timeout: Who wrote this?', INK, sans)}</g>`,
    `<g class="answer">${text(24, 224, first, ACCENT, `${sans} font-weight="700"`)}`,
    `${text(24, 248, rest === '' ? '' : `called by ${rest}`, SOFT, sans)}</g>`,
    '<g class="code">',
    ...rows.map(({ text: row, isNext }, i) => {
      const mark = isNext ? `<rect x="16" y="${262 + 21 * i}" width="884" height="21" rx="4" fill="${SLOWED}"/>` : ''
      return mark + text(24, 278 + 21 * i, row.slice(0, COLUMNS), isNext ? SLOW : SOFT)
    }),
    '</g>',
    `<svg x="24" y="478" width="868" height="64" viewBox="${box}" preserveAspectRatio="none"><rect width="100%" height="100%" fill="${PANEL}"/>`,
    ...lanes.map((path, i) => `<path d="${path}" fill="${[ACCENT, SLOW, '#ff9c93', SOFT, INK][i]}"/>`),
    '</svg>',
    `<rect class="here" x="${24 + 868 * at}" y="474" width="3" height="72" fill="${INK}"/>`,
  ]
  const way = Math.round(868 * (1 - at))
  const style = [
    'text{font:14px ui-monospace,Menlo,Consolas,monospace;white-space:pre}.s{font-family:system-ui,sans-serif;font-size:17px}',
    '@media(prefers-reduced-motion:no-preference){g,.here{animation:10s infinite}',
    '.ask{animation-name:a}.answer{animation-name:b}.past,.code{animation-name:c}.here{animation-name:h}}',
    '@keyframes a{0%,15%{opacity:0}20%,100%{opacity:1}}@keyframes b{0%,30%{opacity:0}35%,100%{opacity:1}}',
    '@keyframes c{0%,50%{opacity:0}60%,100%{opacity:1}}',
    `@keyframes h{0%,40%{transform:translate(${way}px)}58%,100%{transform:none}}`,
  ]
  return `<!-- build/picture.ts -->\n<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}"><style>${style.join('')}</style>${shown.join('\n')}</svg>\n`
}
