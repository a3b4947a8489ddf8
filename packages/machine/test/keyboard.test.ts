import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DebugConsole } from '@retrap/devices'
import type { KeyName } from '@retrap/display'
import { debianMembers } from '@retrap/tooling/debian'
import { TEST_JIT } from '@retrap/tooling/jit'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { al, type Assembler, imm8 } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { createPc } from '../src/index.ts'
import { firmwareImage } from './support/kernels.ts'

const DEADLINE_MS = 120_000
const SMALL = { memoryBytes: 32 << 20, codeCacheBytes: 4 << 20, jit: TEST_JIT } as const
const FOLDER = './usr/share/seabios/'
const seabios = await debianMembers([{ package: 'seabios', members: [`${FOLDER}bios-256k.bin`] }])
const hasQemu = hasProgram('qemu-system-x86_64')

/** Firmware that enables the keyboard, as BIOSes do, and writes what it sends to port 0xE9; first of all `!`. */
function listener(asm: Assembler): void {
  const out = (port: number, value: number): void => void asm.mov(al, value).out(imm8(port), al)
  // Translation on, no interrupts; the mouse stays off.
  out(0x64, 0x60)
  out(0x60, 0x60)
  out(0xe9, 0x21)
  const next = asm.here()
  asm.in(al, imm8(0x64)).test(al, 1).jz(next).in(al, imm8(0x60)).out(imm8(0xe9), al).jmp(next)
}

/** Keys by QEMU's names and ours. */
const NAMED: readonly (readonly [qemu: string, ours: KeyName])[] = [
  ...[...'abcdefghijklmnopqrstuvwxyz'].map((key) => [key, `Key${key.toUpperCase()}` as KeyName] as const),
  ...[...'1234567890'].map((key) => [key, `Digit${key}` as KeyName] as const),
  ...Array.from({ length: 11 }, (_, i) => [`f${i + 1}`, `F${i + 1}` as KeyName] as const),
  ...[...'0123456789'].map((key) => [`kp_${key}`, `Numpad${key}` as KeyName] as const),
  ['ret', 'Enter'],
  ['esc', 'Escape'],
  ['backspace', 'Backspace'],
  ['tab', 'Tab'],
  ['spc', 'Space'],
  ['minus', 'Minus'],
  ['equal', 'Equal'],
  ['bracket_left', 'BracketLeft'],
  ['bracket_right', 'BracketRight'],
  ['backslash', 'Backslash'],
  ['semicolon', 'Semicolon'],
  ['apostrophe', 'Quote'],
  ['grave_accent', 'Backquote'],
  ['comma', 'Comma'],
  ['dot', 'Period'],
  ['slash', 'Slash'],
  ['less', 'IntlBackslash'],
  ['caps_lock', 'CapsLock'],
  ['scroll_lock', 'ScrollLock'],
  ['num_lock', 'NumLock'],
  ['print', 'PrintScreen'],
  ['pause', 'Pause'],
  ['insert', 'Insert'],
  ['home', 'Home'],
  ['pgup', 'PageUp'],
  ['delete', 'Delete'],
  ['end', 'End'],
  ['pgdn', 'PageDown'],
  ['left', 'ArrowLeft'],
  ['right', 'ArrowRight'],
  ['up', 'ArrowUp'],
  ['down', 'ArrowDown'],
  ['kp_divide', 'NumpadDivide'],
  ['kp_multiply', 'NumpadMultiply'],
  ['kp_subtract', 'NumpadSubtract'],
  ['kp_add', 'NumpadAdd'],
  ['kp_enter', 'NumpadEnter'],
  ['kp_decimal', 'NumpadDecimal'],
  ['compose', 'ContextMenu'],
  ['ctrl', 'ControlLeft'],
  ['shift', 'ShiftLeft'],
  ['alt', 'AltLeft'],
  ['meta_l', 'MetaLeft'],
  ['ctrl_r', 'ControlRight'],
  ['shift_r', 'ShiftRight'],
  ['alt_r', 'AltRight'],
  ['meta_r', 'MetaRight'],
  ['ro', 'IntlRo'],
  ['yen', 'IntlYen'],
  ['henkan', 'Convert'],
  ['muhenkan', 'NonConvert'],
  ['kp_comma', 'NumpadComma'],
]

/** Keys on their own, and those whose codes others change. QEMU has a sequence of its own for Alt with Print Screen. */
const STROKES: readonly (readonly (readonly [qemu: string, ours: KeyName])[])[] = [
  ...NAMED.map((key) => [key]),
  [
    ['ctrl', 'ControlLeft'],
    ['pause', 'Pause'],
  ],
  [
    ['shift', 'ShiftLeft'],
    ['print', 'PrintScreen'],
  ],
  [
    ['ctrl', 'ControlLeft'],
    ['alt', 'AltLeft'],
    ['delete', 'Delete'],
  ],
]

/** A key that tells strokes apart, and its codes. */
const BETWEEN = 'F12'
const BETWEEN_CODES = '58 d8'

const hex = (bytes: readonly number[]): string => bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')

/** Our codes of a stroke; the first code of all is no key's. */
function oursOf(codes: readonly number[], stroke: number): string {
  return hex(codes.slice(1)).split(BETWEEN_CODES)[stroke]!.trim()
}

/** What QEMU's keyboard sends for each stroke. */
class QemuKeyboard {
  readonly #folder = mkdtempSync(join(tmpdir(), 'retrap-keys-'))
  readonly #process: ChildProcess
  #monitor: Socket | undefined
  #text = ''

  constructor(firmware: Uint8Array) {
    writeFileSync(join(this.#folder, 'firmware'), firmware)
    writeFileSync(join(this.#folder, 'codes'), '')
    const console = `file,id=codes,path=${join(this.#folder, 'codes')}`
    const devices = ['-chardev', console, '-device', 'isa-debugcon,iobase=0xe9,chardev=codes']
    const monitor = `unix:${join(this.#folder, 'monitor')},server=on,wait=off`
    const machine = ['-M', 'pc', '-accel', 'tcg', '-m', '32', '-display', 'none', '-nodefaults', '-qmp', monitor]
    const args = [...machine, '-bios', join(this.#folder, 'firmware'), ...devices]
    this.#process = spawn('qemu-system-x86_64', args, { stdio: 'ignore' })
  }

  #codes(): number[] {
    return [...readFileSync(join(this.#folder, 'codes'))]
  }

  async #until(what: string, isSo: () => boolean, most = 30_000): Promise<void> {
    for (let ms = 0; !isSo(); ms += 5) {
      if (ms > most) throw new Error(`QEMU: no ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  async #command(execute: string, more: object = {}): Promise<void> {
    this.#text = ''
    this.#monitor?.write(`${JSON.stringify({ execute, arguments: more })}\n`)
    await this.#until(`answer to ${execute}`, () => this.#text.includes('"return"') || this.#text.includes('"error"'))
    if (this.#text.includes('"error"')) throw new Error(`QEMU: ${this.#text}`)
  }

  async open(): Promise<void> {
    const path = join(this.#folder, 'monitor')
    await this.#until('monitor', () => existsSync(path))
    this.#monitor = connect(path)
    this.#monitor.on('data', (bytes) => (this.#text += String(bytes)))
    await this.#until('greeting', () => this.#text.includes('QMP'))
    await this.#command('qmp_capabilities')
    await this.#until('guest', () => this.#codes()[0] === 0x21)
  }

  /** @param length - of the text of the codes that are expected; others get a moment */
  async press(keys: readonly string[], length: number): Promise<number[]> {
    const before = this.#codes().length
    const wanted = keys.map((data) => ({ type: 'qcode', data }))
    await this.#command('send-key', { keys: wanted, 'hold-time': 1 })
    await this.#until(
      `codes of ${keys.join('+')}`,
      () => this.#codes().length >= before + (length + 1) / 3,
      1000,
    ).catch(() => {})
    return this.#codes().slice(before)
  }

  close(): void {
    this.#monitor?.destroy()
    this.#process.kill('SIGKILL')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

describe.runIf(hasQemu)(`codes of keys${skipNote(hasQemu, 'there is no QEMU')}`, () => {
  test(
    'are those of QEMU’s keyboard',
    async () => {
      const firmware = firmwareImage(listener)
      const codes: number[] = []
      const stream = { send: (bytes: Uint8Array) => void codes.push(...bytes) }
      const pc = await createPc({ ...SMALL, firmware, devices: [new DebugConsole({ iobase: 0xe9, stream })] })
      const stop = new AbortController()
      const run = pc.run({ signal: stop.signal, timeoutMs: DEADLINE_MS - 10_000 })
      const qemu = new QemuKeyboard(firmware)
      const theirs: string[] = []
      try {
        await expect.poll(() => codes[0]).toBe(0x21)
        for (const stroke of STROKES) {
          void pc.keyboard.press(...stroke.map(([, key]) => key))
          void pc.keyboard.press(BETWEEN)
        }
        await expect.poll(() => hex(codes).split(BETWEEN_CODES).length).toBe(STROKES.length + 1)
        stop.abort()
        await run
        await qemu.open()
        for (const stroke of STROKES) {
          const found = await qemu.press(
            stroke.map(([key]) => key),
            oursOf(codes, theirs.length).length,
          )
          theirs.push(hex(found))
        }
      } finally {
        stop.abort()
        await run
        pc.close()
        qemu.close()
      }
      const named = (found: (i: number) => string): string[] =>
        STROKES.map((stroke, i) => `${stroke.map(([, key]) => key).join('+')}: ${found(i)}`)
      expect(named((i) => oursOf(codes, i))).toEqual(named((i) => theirs[i]!))
    },
    DEADLINE_MS,
  )
})

describe.runIf(seabios !== undefined)(`SeaBIOS${skipNote(seabios !== undefined, 'cannot fetch it')}`, () => {
  test(
    'finds the keyboard: Escape opens its boot menu',
    async () => {
      const firmware = new Uint8Array(readFileSync(join(seabios![0]!, FOLDER, 'bios-256k.bin')))
      const pc = await createPc({ ...SMALL, firmware, vga: 'none', drives: [], boot: { menu: true } })
      const stop = new AbortController()
      let text = ''
      let pressed = false
      pc.serial.onTransmit((bytes) => {
        text += String.fromCharCode(...bytes)
        if (!pressed && text.includes('Press ESC for boot menu')) {
          pressed = true
          void pc.keyboard.press('Escape')
        }
        if (text.includes('Select boot device')) stop.abort()
      })
      const exit = await pc.run({ signal: stop.signal, timeoutMs: DEADLINE_MS - 10_000 })
      pc.close()
      expect([exit.reason, pressed]).toEqual(['stopped', true])
      expect(text).toContain('Select boot device')
    },
    DEADLINE_MS,
  )
})
