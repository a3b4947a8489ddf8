/** Reading what disassemblers print. */
import { spawn } from 'node:child_process'

/** One line of `objdump -d --no-show-raw-insn -M intel`. */
export interface Line {
  readonly address: number
  /** Prefixes, mnemonic and operands. */
  readonly text: string
  /** Whether a symbol, or a section, begins here. */
  readonly isNamed: boolean
}

/** Words before the mnemonic: prefixes that a disassembler spells out. */
const PREFIX_WORD =
  /^(?:data16|data32|addr32|addr16|[cdefgs]s|rep|repz|repnz|repe|repne|lock|bnd|notrack|xacquire|xrelease|rex(?:\.[WRXB]+)?|rex2(?:\.\w+)?|\{\w+\})$/

/** A line's text without prefixes: the mnemonic, and the operands. */
export function splitText(text: string): readonly [mnemonic: string, operands: string] {
  let rest = text
  for (;;) {
    const space = rest.indexOf(' ')
    if (space < 0) return [rest, '']
    const word = rest.slice(0, space)
    const after = rest.slice(space).trimStart()
    if (after === '' || !PREFIX_WORD.test(word)) return [word, after]
    rest = after
  }
}

/** `objdump`'s listing of a file, line by line. */
export async function* objdumpLines(path: string, options: readonly string[]): AsyncGenerator<Line[]> {
  const child = spawn('objdump', ['-w', '-z', '--no-show-raw-insn', ...options, path], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let rest = ''
  let isNamed = false
  try {
    child.stdout.setEncoding('latin1')
    for await (const chunk of child.stdout) {
      const text = rest + (chunk as string)
      const lines: Line[] = []
      let start = 0
      for (;;) {
        const end = text.indexOf('\n', start)
        if (end < 0) break
        const colon = text.indexOf(':\t', start)
        // Instructions alone have a tab after the address.
        if (colon >= 0 && colon < end) {
          const digits = text.slice(Math.max(start, colon - 12), colon).trimStart()
          lines.push({ address: parseInt(digits, 16), text: text.slice(colon + 2, end).trimEnd(), isNamed })
          isNamed = false
        } else if (text.startsWith('>:', end - 2)) isNamed = true
        start = end + 1
      }
      rest = text.slice(start)
      yield lines
    }
  } finally {
    child.kill()
  }
}
