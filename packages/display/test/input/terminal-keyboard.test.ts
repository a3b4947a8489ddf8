import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type KeyboardLayoutName, TerminalKeyboard } from '../../src/index.ts'
import { keyUsage, type KeyName } from '../../src/input/keys.ts'
import { TestKeyboard } from '../support/test-keyboard.ts'

/** A terminal, and the model of the guest's keyboard. */
class Terminal extends TestKeyboard {
  readonly keys = new TerminalKeyboard(this.keyboard)

  send(text: string): boolean {
    return this.keys.receive(new TextEncoder().encode(text))
  }
}

/** How keys that go down and up together are noted. */
function chord(...names: readonly KeyName[]): string {
  const usages = names.map((name) => keyUsage(name).toString(16))
  return `${usages.map((usage) => `+${usage}`).join(' ')} ${usages
    .toReversed()
    .map((usage) => `-${usage}`)
    .join(' ')} `
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('a terminal types', () => {
  test.each<{ sent: string; keys: readonly KeyName[]; layout?: KeyboardLayoutName }>([
    { sent: 'a', keys: ['KeyA'] },
    { sent: 'A', keys: ['ShiftLeft', 'KeyA'] },
    { sent: '\r', keys: ['Enter'] },
    { sent: '\n', keys: ['Enter'] },
    { sent: '\t', keys: ['Tab'] },
    { sent: '\x7f', keys: ['Backspace'] },
    { sent: '\b', keys: ['Backspace'] },
    { sent: '\x03', keys: ['ControlLeft', 'KeyC'] },
    { sent: '\0', keys: ['ControlLeft', 'Space'] },
    { sent: '\x1c', keys: ['ControlLeft', 'Backslash'] },
    { sent: '\x1d', keys: ['ControlLeft', 'BracketRight'] },
    { sent: '\x1f', keys: ['ControlLeft', 'ShiftLeft', 'Minus'] },
    { sent: '\x1bx', keys: ['AltLeft', 'KeyX'] },
    { sent: '\x1bX', keys: ['AltLeft', 'ShiftLeft', 'KeyX'] },
    { sent: '\x1b\x03', keys: ['AltLeft', 'ControlLeft', 'KeyC'] },
    { sent: '\x1b\t', keys: ['ShiftLeft', 'Tab'] },
    { sent: '\x1b\r', keys: ['AltLeft', 'Enter'] },
    { sent: '\x1b[1;5C', keys: ['ControlLeft', 'ArrowRight'] },
    { sent: '\x1b[1;7P', keys: ['AltLeft', 'ControlLeft', 'F1'] },
    { sent: '\x1b[3;6~', keys: ['ShiftLeft', 'ControlLeft', 'Delete'] },
    { sent: '\x1b[3;7~', keys: ['AltLeft', 'ControlLeft', 'Delete'] },
    { sent: '\x1b\x1b[A', keys: ['AltLeft', 'ArrowUp'] },
    { sent: '\x1bO5P', keys: ['ControlLeft', 'F1'] },
    { sent: '\x1b[27;5;13~', keys: ['ControlLeft', 'Enter'] },
    { sent: '\x1b[97;6u', keys: ['ShiftLeft', 'ControlLeft', 'KeyA'] },
    { sent: '\x1bOq', keys: ['Numpad1'] },
    { sent: 'z', keys: ['KeyY'], layout: 'de' },
    { sent: '\x1a', keys: ['ControlLeft', 'KeyY'], layout: 'de' },
    { sent: 'ü', keys: ['BracketLeft'], layout: 'de' },
    { sent: '@', keys: ['AltRight', 'KeyQ'], layout: 'de' },
    { sent: '\x01', keys: ['ControlLeft', 'KeyQ'], layout: 'fr' },
  ])('$sent as $keys, layout $layout', ({ sent, keys, layout }) => {
    const whole = new Terminal(layout)
    whole.send(sent)
    expect(whole.noted).toBe(chord(...keys))
    // The bytes may come one by one.
    const cut = new Terminal(layout)
    for (const byte of new TextEncoder().encode(sent)) cut.keys.receive(Uint8Array.of(byte))
    expect(cut.noted).toBe(chord(...keys))
  })

  test.each(['ß', '\x1b[200~', '\x1b[99~', '\x1b[?62;1c', '\x1b[24;80y', '\x1b[8;25'])(
    '%j as no key, and the next one as it is',
    (sent) => {
      const terminal = new Terminal()
      terminal.send(sent)
      vi.advanceTimersByTime(50)
      expect(terminal.noted).toBe('')
      terminal.send('\r')
      expect(terminal.noted).toBe(chord('Enter'))
    },
  )

  test('ESC as Escape when nothing follows, and twice', () => {
    const terminal = new Terminal()
    terminal.send('\x1b')
    vi.advanceTimersByTime(49)
    expect(terminal.noted).toBe('')
    vi.advanceTimersByTime(1)
    expect(terminal.noted).toBe(chord('Escape'))
    terminal.send('\x1b\x1b')
    vi.advanceTimersByTime(50)
    expect(terminal.noted).toBe(chord('Escape').repeat(3))
    terminal.send('\x1b[')
    vi.advanceTimersByTime(50)
    expect(terminal.noted.slice(chord('Escape').length * 3)).toBe(chord('AltLeft', 'BracketLeft'))
  })

  test('the sequences of terminfo as the keys that it names', () => {
    const named: Readonly<Record<string, readonly KeyName[]>> = {
      kcuu1: ['ArrowUp'],
      kcud1: ['ArrowDown'],
      kcuf1: ['ArrowRight'],
      kcub1: ['ArrowLeft'],
      khome: ['Home'],
      kend: ['End'],
      kich1: ['Insert'],
      kdch1: ['Delete'],
      kpp: ['PageUp'],
      knp: ['PageDown'],
      kcbt: ['ShiftLeft', 'Tab'],
      kent: ['NumpadEnter'],
      kbs: ['Backspace'],
      kLFT5: ['ControlLeft', 'ArrowLeft'],
      kUP3: ['AltLeft', 'ArrowUp'],
      kDC: ['ShiftLeft', 'Delete'],
      ...Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`kf${i + 1}`, [`F${i + 1}`]])),
    }
    const checked: string[] = []
    for (const name of ['xterm-256color', 'linux', 'screen', 'tmux', 'vt220', 'rxvt']) {
      for (const [capability, sequence] of capabilities(name)) {
        const keys = named[capability]
        if (keys === undefined) continue
        const terminal = new Terminal()
        terminal.send(sequence)
        expect(terminal.noted, `${name} ${capability}`).toBe(chord(...keys))
        checked.push(capability)
      }
    }
    if (checked.length > 0) expect(checked.length).toBeGreaterThan(50)
  })

  test('any bytes, wherever they are cut, as the same keys, and each goes up again', () => {
    const pieces = fc.oneof(
      fc.constantFrom('\x1b', '[', 'O', '1', ';', '5', '~', 'A', '\x1b[', '\x1bO', '3;', 'u', 'ü', '€', '\x01'),
      fc.string({ maxLength: 3, unit: 'binary' }),
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), fc.nat(60), (texts, cut) => {
        const bytes = new TextEncoder().encode(texts.join(''))
        const [whole, parts] = [new Terminal('de'), new Terminal('de')]
        whole.keys.receive(bytes)
        parts.keys.receive(bytes.subarray(0, cut))
        parts.keys.receive(bytes.subarray(cut))
        vi.advanceTimersByTime(50)
        expect(parts.noted).toBe(whole.noted)
        const downs = whole.noted.match(/\+\w+/g) ?? []
        expect(whole.noted.match(/-\w+/g)?.length ?? 0).toBe(downs.length)
      }),
    )
  })
})

test('a terminal is asked to wait while the guest takes no keys, and hears when it has', async () => {
  const terminal = new Terminal()
  terminal.room = 0
  expect(terminal.send('a'.repeat(512))).toBe(true)
  expect(terminal.send('b')).toBe(false)
  let drained = false
  const heard = terminal.keys.drained().then(() => (drained = true))
  terminal.room = 1024
  terminal.keyboard.ready()
  await Promise.resolve()
  expect(drained).toBe(false)
  terminal.room = Infinity
  terminal.keyboard.ready()
  await heard
  expect(terminal.send('c')).toBe(true)
})

/** A terminal's keys by terminfo's names; none where infocmp or the terminal is not there. */
function capabilities(terminal: string): readonly (readonly [name: string, sequence: string])[] {
  try {
    const text = execFileSync('infocmp', ['-1', '-x', terminal], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return [...text.matchAll(/^\t(k\w+)=(.*),$/gm)].map(([, name = '', value = '']) => [
      name,
      value
        .replaceAll('\\E', '\x1b')
        .replaceAll(/\^(.)/g, (_, letter: string) =>
          letter === '?' ? '\x7f' : String.fromCharCode(letter.charCodeAt(0) & 0x1f),
        )
        .replaceAll('\\177', '\x7f'),
    ])
  } catch {
    return []
  }
}
