/** What outlives a reset of each kind, beside QEMU; and a machine over its resets is saved, cloned and recorded as any other. */
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DebugConsole, DebugExit } from '@retrap/devices'
import { armImage, movk, movz, POWER_OFF } from '@retrap/tooling/arm-image'
import { numbers } from '@retrap/tooling/random'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import * as x86 from '@retrap/x86-assembler'
import { endFirmware, enterFlat, FIRMWARE_BASE, FIRMWARE_BYTES } from '@retrap/x86-assembler/guest-code'
import { describe, expect, test } from 'vitest'
import { createArmMachine, recordArmMachine, replayArmMachine } from '../src/arm/index.ts'
import { createPc, type Pc, type PcOptions, recordPc, replayPc, type ResetImages } from '../src/index.ts'
import { kept } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'
import { writable } from './support/media.ts'

const { al, bl, byte, dx, imm16, imm32, imm8 } = x86
const MIB = 1 << 20
/** The guest asks to be reset from outside. */
const ASKS = 0x52
const COM1 = 0x3f8
/** Ports of consoles that send at once. */
const CONSOLE = 0xe9
const STATUSES = 0xea
const RAM = 0x20_0000
const SECTOR = 0x30_0000
/** The flash below the one that ends at 4 GiB. */
const FLASH = -2 * FIRMWARE_BYTES
const EXIT = 0x501

const CF9 = (asm: x86.Assembler) => out(out(asm, 0xcf9, 2), 0xcf9, 6)
/** Ways of a PC's guest to reset it; ACPI's reset register is the first on both. */
const KINDS: readonly ((asm: x86.Assembler) => x86.Assembler)[] = [
  CF9,
  (asm) => out(asm, 0x64, 0xfe),
  (asm) => asm.in(al, imm8(0x92)).or(al, 1).out(imm8(0x92), al),
  // Without an interrupt table each exception is followed by another.
  (asm) => asm.push(imm32(0)).push(imm32(0)).lidt(x86.fword(x86.esp)).int3(),
  (asm) => out(asm, CONSOLE, ASKS),
]

function out(asm: x86.Assembler, port: number, value: number): x86.Assembler {
  return asm.mov(dx, imm16(port)).mov(al, imm8(value)).out(dx, al)
}

/** An IDE command for the first sector, up to the instant at which its status has this in BSY and DRQ. */
function command(asm: x86.Assembler, code: number, status: number): void {
  for (const [at, value] of [0xe0, 1, 0, 0, 0].entries()) out(asm, [0x1f6, 0x1f2, 0x1f3, 0x1f4, 0x1f5][at]!, value)
  const again = out(asm, 0x1f7, code).here()
  asm.in(al, dx).and(al, imm8(0x88)).cmp(al, imm8(status)).jne(again)
  asm.mov(x86.ecx, 256).mov(dx, imm16(0x1f0))
}

/** Counts everywhere, sends the counts, writes RAM, and resets the machine: so many times in each way. Flat code of 32 bits. */
function pcProgram(asm: x86.Assembler, kinds: typeof KINDS, times: number, has: string, console = CONSOLE): void {
  const own = asm.label()
  const send = (port = console): x86.Assembler => asm.mov(dx, imm16(port)).out(dx, al)
  asm.mov(al, byte(RAM)).inc(al).mov(byte(RAM), al)
  send()
  // CMOS, the alarm's hour, and the shutdown status, by which firmware goes on where a 286 has left protected mode. QEMU clears it.
  for (const register of [0x50, 0x05, 0x0f]) {
    out(asm, 0x70, register).in(al, imm8(0x71)).inc(al).mov(bl, al)
    out(asm, 0x70, register).mov(al, bl).out(imm8(0x71), al)
    send(register === 0x0f ? STATUSES : console)
  }
  // The kernel is loaded again.
  if (has.includes('kernel')) asm.inc(byte(own)).mov(al, byte(own))
  else {
    // The flash is left in the mode of its status: a reset leads back to its contents.
    asm.mov(bl, byte(FLASH)).mov(al, bl).shl(bl, 1)
    asm.mov(byte(FLASH), 0x40).mov(byte(FLASH), bl)
  }
  send()
  if (has.includes('disk')) {
    // The sector stays in the drive's cache.
    command(asm, 0x20, 0x08)
    asm.mov(x86.edi, SECTOR).db(0xf3, 0x66, 0x6d).mov(al, byte(SECTOR)).inc(al).mov(byte(SECTOR), al) // rep insw
    send()
    command(asm, 0x30, 0x08)
    asm.mov(x86.esi, SECTOR).db(0xf3, 0x66, 0x6f) // rep outsw
  }
  const fill = asm.mov(x86.edi, SECTOR).mov(x86.ecx, 6000).here()
  asm.mov(byte(x86.edi), al).add(x86.edi, 4).dec(x86.ecx).jne(fill)
  for (const [i, reset] of kinds.entries()) {
    const next = asm.label()
    asm.cmp(byte(RAM), imm8(times * (i + 1))).ja(next)
    const still = reset(asm).here()
    asm.jmp(still).bind(next)
  }
  out(asm, EXIT, 0).hlt().bind(own).db(0)
}

function firmware(times: number, has: string): Uint8Array {
  const asm = new x86.Assembler({ bits: 16, address: FIRMWARE_BASE })
  enterFlat(asm, 0x7000)
  pcProgram(asm, KINDS, times, has)
  endFirmware(asm)
  return asm.assemble().bytes
}

/** The same for an Arm board: the clock's match register, its own image or flash, and RAM. @param asked - resets from outside */
function armProgram(times: number, asked: number, has: string): readonly number[] {
  // cmp w0, #count; b.hi past what follows
  const unlessMore = (count: number, then: readonly number[]): number[] => [
    (0x7100_001f | (count << 10)) >>> 0,
    (0x5400_0008 | ((then.length + 1) << 5)) >>> 0,
    ...then,
  ]
  return [
    ...[movz(1, 0x0900, 16), movz(2, 0x0901, 16), movz(3, 0x4080, 16), movz(4, 0x0400, 16)],
    // ldr w0, [x2, #4]; add w0, w0, #1; str w0, [x2, #4]; strb w0, [x1]
    ...[0xb940_0440, 0x1100_0400, 0xb900_0440, 0x3900_0020],
    ...(has === 'kernel'
      ? // adr x5, -32; ldrb w0, [x5]; add w0, w0, #1; strb w0, [x5]; strb w0, [x1]
        [0x10ff_ff05, 0x3940_00a0, 0x1100_0400, 0x3900_00a0, 0x3900_0020]
      : // ldr w0, [x4]; strb w0, [x1]; mov w5, #0x400040; str w5, [x4]; lsl w0, w0, #1; str w0, [x4]
        [0xb940_0080, 0x3900_0020, movz(5, 0x40, 16), movk(5, 0x40), 0xb900_0085, 0x531f_7800, 0xb900_0080]),
    // ldrb w0, [x3]; add w0, w0, #1; strb w0, [x3]; strb w0, [x1]
    ...[0x3940_0060, 0x1100_0400, 0x3900_0060, 0x3900_0020],
    // add x7, x3, #1, lsl #12; str w0, [x7], #4; subs x6, x6, #1; b.ne -8
    ...[movz(6, 6000), 0x9140_0467, 0xb800_44e0, 0xf100_04c6, 0x54ff_ffc1],
    ...unlessMore(times, [movz(0, 0x8400, 16), movk(0, 9), 0xd400_0002]),
    ...unlessMore(times + asked, [movz(0, ASKS), 0x3900_0020, 0x1400_0000]),
    ...POWER_OFF,
  ]
}

/** What a guest sends on QEMU, whose monitor resets it where the guest asks for that. */
async function onQemu(program: string, output: string, given: readonly string[]): Promise<number[]> {
  writeFileSync(output, '')
  const monitor = ['-monitor', 'stdio', '-chardev', `file,id=out,path=${output}`]
  const common = ['-nodefaults', '-accel', 'tcg', '-display', 'none', ...monitor]
  const qemu = spawn(program, [...given, ...common], { stdio: ['pipe', 'ignore', 'inherit'] })
  let asked = 0
  const look = setInterval(() => {
    for (const now = readFileSync(output).filter((value) => value === ASKS).length; asked < now; asked++)
      qemu.stdin.write('system_reset\n')
  }, 5)
  const late = setTimeout(() => qemu.kill('SIGKILL'), 100_000)
  await new Promise((resolve) => qemu.on('exit', resolve))
  clearInterval(look)
  clearTimeout(late)
  return [...readFileSync(output)]
}

const X86 = 'qemu-system-x86_64'
const ARM = 'qemu-system-aarch64'
const erased = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(0xff)
const ROWS = [
  { qemu: X86, machine: 'pc', has: 'flash and disk', times: 5 },
  { qemu: X86, machine: 'q35', has: 'flash', times: 5 },
  // SeaBIOS starts it on QEMU.
  { qemu: X86, machine: 'pc', has: 'kernel and disk', times: 1 },
  { qemu: ARM, machine: 'virt', has: 'kernel', times: 5 },
  { qemu: ARM, machine: 'virt', has: 'flash', times: 5 },
] as const

test.each(ROWS.map((row) => ({ ...row, note: skipNote(hasProgram(row.qemu), `there is no ${row.qemu}`) })))(
  '$machine with $has keeps over $times resets of each kind what it keeps on QEMU$note',
  { timeout: 120_000 },
  async ({ qemu, machine, has, times, note }) => {
    if (note !== '') return
    const folder = temporaryFolder('reset')
    const files = { kernel: join(folder, 'kernel'), disk: join(folder, 'disk'), other: join(folder, 'other') }
    const [isArm, hasKernel, hasDisk] = [qemu === ARM, has.includes('kernel'), has.includes('disk')]
    const words = armProgram(times, times, has)
    const code = isArm
      ? hasKernel
        ? armImage(...words)
        : new Uint8Array(Uint32Array.from({ length: 16 * MIB }, (_, i) => words[i] ?? 0).buffer)
      : hasKernel
        ? multibootKernel((asm) => pcProgram(asm, KINDS, times, has))
        : firmware(times, has)
    const variables = erased(isArm ? 64 * MIB : FIRMWARE_BYTES)
    writeFileSync(files.kernel, code)
    writeFileSync(files.other, variables)
    writeFileSync(files.disk, new Uint8Array(MIB))
    const theirs = await onQemu(qemu, join(folder, 'output'), [
      ...['-machine', machine, '-m', '64'],
      ...(isArm
        ? ['-cpu', 'max', '-serial', 'chardev:out']
        : ['-device', `isa-debug-exit,iobase=${EXIT}`, '-device', `isa-debugcon,iobase=${CONSOLE},chardev=out`]),
      ...(hasKernel
        ? ['-kernel', files.kernel]
        : [files.kernel, files.other].flatMap((file) => ['-drive', `if=pflash,format=raw,file=${file}`])),
      ...(hasDisk ? ['-drive', `if=ide,format=raw,file=${files.disk}`] : []),
    ])
    const [seen, statuses]: [number[], number[]] = [[], []]
    const send = (bytes: Uint8Array): void => {
      seen.push(...bytes)
      if (bytes.includes(ASKS)) void made.reset()
    }
    const devices = [
      new DebugConsole({ iobase: CONSOLE, stream: { send } }),
      new DebugConsole({ iobase: STATUSES, stream: { send: (bytes) => void statuses.push(...bytes) } }),
      new DebugExit({ iobase: EXIT }),
    ]
    let resets = 0
    const options: PcOptions = {
      ...{ memoryBytes: 64 * MIB, vga: 'none', tripleFault: 'reset', onReset: () => void resets++ },
      ...(hasKernel ? { kernel: code } : { flash: [code, variables].map((bytes) => ({ medium: writable(bytes, 1) })) }),
      ...(hasDisk && { drives: [{ medium: writable(new Uint8Array(MIB)) }] }),
      ...(!isArm && { machine: machine as 'pc', devices }),
    }
    const made = kept(await (isArm ? (createArmMachine as unknown as typeof createPc) : createPc)(options))
    made.serial.onTransmit(send)
    await made.run({ timeoutMs: 60_000 })
    const kinds = isArm ? 2 : KINDS.length
    expect(resets).toBe(times * (kinds - 1))
    expect(theirs.filter((value) => value === ASKS)).toHaveLength(times)
    expect(seen).toEqual(theirs)
    if (!isArm) expect(statuses).toEqual(Array.from({ length: times * kinds + 1 }, (_, i) => i + 1))
  },
)

const TIMES = 4
/** Nanoseconds of the guest's last boot. */
const LAST_NS = 10_000
const PC = {
  name: 'a PC',
  options: {
    ...{ memoryBytes: 8 * MIB, clock: 'deterministic', forks: { clones: 1, writtenBytes: 4 * MIB } },
    kernel: multibootKernel((asm) => pcProgram(asm, [CF9], TIMES, 'kernel', COM1)),
    devices: [new DebugExit({ iobase: EXIT })],
  } as PcOptions,
  ...{ create: createPc, record: recordPc, replay: replayPc },
}
const BOARD = {
  name: 'an Arm board',
  options: { ...PC.options, devices: [], memoryBytes: 16 * MIB, kernel: armImage(...armProgram(TIMES, 0, 'kernel')) },
  ...{ create: createArmMachine, record: recordArmMachine, replay: replayArmMachine },
} as unknown as typeof PC

describe.each([PC, BOARD])('$name', ({ options, create, record, replay }) => {
  const restarts = { ...options, onReset: (): ResetImages => ({ kernel: options.kernel }) }

  /** Runs a machine, and returns what it has sent, and where it is. @param ns - at most up to that instant */
  async function runOn(pc: Pc, text = '', ns = Infinity): Promise<[reason: string, text: string, ns: number]> {
    const stop = new AbortController()
    const { clock, timers } = pc.domain
    if (ns < Infinity) timers.create(() => stop.abort()).armAfter(Math.max(0, ns - clock.now()))
    let printed = text
    pc.serial.onTransmit((bytes) => (printed += Buffer.from(bytes).toString('latin1')))
    const { reason } = await pc.run({ signal: stop.signal, timeoutMs: 60_000 })
    return [reason, printed, clock.now()]
  }

  test('saved, moved, put back and cloned at any instant, it goes on as if nothing had happened', async () => {
    const expected = await runOn(kept(await create(restarts)))
    const below = numbers(91)
    const span = expected[2] - LAST_NS
    for (let i = 0; i < 8; i++) {
      const pc = kept(await create(restarts))
      const [, text] = await runOn(pc, '', below(span))
      const devices = options.devices!.map(() => new DebugExit({ iobase: EXIT }))
      if (i % 4 === 0) {
        const snapshot = await pc.save()
        expect(await runOn(kept(await create({ ...restarts, snapshot })), text)).toEqual(expected)
      } else if (i % 4 === 1) expect(await runOn(kept(await pc.fork({ devices })), text)).toEqual(expected)
      else {
        const instant = i % 4 === 2 ? await pc.checkpoint() : await pc.save({ forRestore: true })
        await runOn(pc, '', below(span))
        await ('reset' in instant ? instant.reset() : pc.restore(instant))
      }
      expect(await runOn(pc, text)).toEqual(expected)
      pc.close()
    }
  })

  test('a replay is the same wherever it goes; a recording of an earlier release ends with the first reset', async () => {
    const expected = await runOn(kept(await create(restarts)))
    for (const onReset of [restarts.onReset, undefined]) {
      const pieces: Uint8Array[] = []
      const write = (piece: Uint8Array): void => void pieces.push(piece.slice())
      const recorder = await record({ ...restarts, forks: undefined, onReset }, write, { checkpointMs: 0 })
      const seen = await runOn(kept(recorder.machine))
      await recorder.end()
      if (onReset === undefined) expect(seen[0]).toBe('reset')
      else expect(seen).toEqual(expected)
      const file = Buffer.concat(pieces)
      const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
      const played = kept(await replay({ ...restarts, forks: undefined }, source))
      expect([await played.run(), played.ns]).toMatchObject([{ reason: seen[0] }, seen[2]])
      const states = new Map<number, string>()
      const below = numbers(7)
      const places = Array.from({ length: 6 }, () => below(played.end))
      for (const at of [...places, ...places.toReversed()]) {
        expect(await played.goto(at)).toEqual({ reason: 'arrived' })
        const state = JSON.stringify((await played.machine.save()).state)
        expect(states.get(at) ?? state).toBe(state)
        states.set(at, state)
      }
    }
  })

  test('without onReset it ends, and its owner starts it again, with RAM that was given up; a stop is not lost', async () => {
    const pc = kept(await create(options))
    for (let i = 0; i < TIMES; i++) {
      expect((await runOn(pc))[0]).toBe('reset')
      const gfn = pc.domain.p2m.frames - 0x10 + (options.devices!.length === 0 ? 0x4_0000 : 0)
      const mfn = pc.domain.p2m.translate(gfn * 4096) / 4096
      pc.domain.p2m.remove(gfn, mfn, 1)
      await pc.reset()
      expect(pc.domain.guestMemory.read(gfn * 4096, new Uint8Array(1))).toBe(true)
    }
    expect((await runOn(pc))[0]).not.toBe('reset')
    const moved = kept(await create({ ...options, snapshot: await kept(await create(options)).save() }))
    await expect(moved.reset()).rejects.toMatchObject({ code: 'ERR_OPTION' })
    const stop = new AbortController()
    const stopped = kept(await create({ ...options, onReset: () => stop.abort() }))
    expect(await stopped.run({ signal: stop.signal })).toEqual({ reason: 'stopped' })
    expect((await runOn(stopped))[2]).toBeGreaterThan(0)
  })
})
