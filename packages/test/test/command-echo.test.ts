/** What a line editor draws of a typed line is no output, however wide it takes its terminal to be. */
import type { Pc } from '@retrap/machine'
import { expect, test } from 'vitest'
import { TestMachine } from '../src/index.ts'

const PROMPT = 'root@guest:~# '

/** How a shell draws a line that is typed at once, up to the row behind it. */
type Editor = (prompt: string, line: string, columns: number) => string

/** BusyBox's ash ends each full row itself, and its line with it where that is full. */
const ash: Editor = (prompt, line, columns) => {
  const rows = rowsOf(prompt, line, columns).map((row) => (row.length === columns ? `${row}\r\r\n` : `${row}\r\n`))
  return rows.join('').slice(prompt.length)
}

/** readline draws the next row's first character, so that the terminal wraps, and once more; a full last row, it draws again. */
const readline: Editor = (prompt, line, columns) => {
  const rows = rowsOf(prompt, line, columns)
  const [last = ''] = rows.slice(-1)
  const drawn = rows.map((row, i) => (i === 0 ? row : `${row[0]}\r${row}`)).join('')
  const full = ` \r\x1b[A${last.slice(0, -1)}\x1b[K${last.slice(-1)}`
  return `${drawn.slice(prompt.length)}${last.length === columns ? full : ''}\r\n\x1b[?2004l\r`
}

/** readline on TERM=dumb shows the end of a longer line. */
const dumb: Editor = (prompt, line, columns) =>
  prompt.length + line.length < columns - 1 ? `${line}\r\n` : `\r<${line.slice(-Math.floor(columns / 2))}\r\n`

/** Firmware and consoles without an editor. */
const nothing: Editor = () => ''

const rowsOf = (prompt: string, line: string, columns: number): readonly string[] =>
  `${prompt}${line}`.match(new RegExp(`.{1,${columns}}`, 'g')) ?? []

/** A machine whose shell stands at its prompt, and answers a line with an output. */
function shell(editor: Editor, columns: number, output: string): TestMachine {
  let transmit: ((bytes: Uint8Array) => void) | undefined
  let typed = ''
  const print = (text: string): void => {
    for (const each of text) transmit?.(Buffer.from(each))
  }
  const machine = {
    serial: {
      onTransmit: (listener: typeof transmit) => (transmit = listener),
      receive: (bytes: Uint8Array) => (typed += Buffer.from(bytes).toString()),
    },
    async run({ signal }: { readonly signal: AbortSignal }) {
      print(editor(PROMPT, typed.slice(0, -1), columns) + output + PROMPT)
      if (!signal.aborted) await new Promise((stopped) => signal.addEventListener('abort', stopped))
      return { reason: 'stopped' }
    },
  }
  const made = new TestMachine({ machine: machine as unknown as Pc, prompt: '# ', timeoutMs: 1000, row: PROMPT })
  return made
}

test.each([
  ['ash', ash, ''],
  ['readline', readline, '\x1b[?2004l'],
  ['readline on a dumb terminal', dumb, ''],
])('%s: a command returns what is behind its echo, at 60 to 200 columns', async (_, editor, first) => {
  let seed = 1
  const random = (below: number): number => (seed = (seed * 48271) % 0x7fff_ffff) % below
  const bodies = ['aaaaaaaa', 'cd  e # aaaaaaaaaa f > aaaaaaaa; b bbbbbb 1234567890 ', '0123456789']
  for (let columns = 60; columns <= 200; columns++) {
    const atEnd = (1 + random(2)) * columns - PROMPT.length - 2 + random(5)
    const length = random(2) === 0 ? atEnd : 1 + random(Math.floor(1.5 * columns))
    const line = bodies[random(bodies.length)]!.repeat(length).slice(0, length)
    const output = ['', '\n', `sh: ${line.replaceAll('# ', '')}: not found\n`, 'one\n\ntwo\n'][random(4)]!
    const machine = shell(editor, columns, output.replaceAll('\n', '\r\n'))
    const found = await machine.command(line).catch(String)
    expect({ columns, line, found }).toEqual({ columns, line, found: `${first}${output}${PROMPT.slice(0, -2)}` })
  }
})

test('a guest that echoes nothing: all that it prints is output', async () => {
  expect(await shell(nothing, 80, 'files\r\nls\r\n').command('ls')).toBe(`files\nls\n${PROMPT.slice(0, -2)}`)
})
