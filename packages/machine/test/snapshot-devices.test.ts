/** A machine whose firmware reads its disk again and again, saved at any time: all of it goes on alike. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { debianMembers } from '@retrap/tooling/debian'
import { numbers } from '@retrap/tooling/random'
import { skipNote } from '@retrap/tooling/skip'
import { al, Assembler, ax, bp, bx, cl, cx, dh, dx, es, imm16, imm8 } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { expect } from 'vitest'
import { createPc, type Pc, type MachineDrive, type PcOptions } from '../src/index.ts'
import { medium } from './support/media.ts'

const test = sliceTests(12)

const bios = await debianMembers([
  { package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin', './usr/share/seabios/vgabios-stdvga.bin'] },
])
const romOf = (name: string): Uint8Array => new Uint8Array(readFileSync(`${bios?.[0]}/usr/share/seabios/${name}`))

const DEADLINE_MS = 240_000
/** SeaBIOS waits for its menu's key until 2.2 seconds. */
const END_NS = 2_600_000_000
const BEFORE_DISK_NS = 2_150_000_000

/** A boot sector that reads a sector, tells its number to the serial port and to the screen, and waits for the timer. */
function bootSector(): Uint8Array {
  const asm = new Assembler({ bits: 16, address: 0x7c00 })
  asm.xor(ax, ax).mov(es, ax).xor(bp, bp)
  const next = asm.here()
  asm.mov(bx, imm16(0x8000)).mov(cx, bp).and(cl, imm8(15)).inc(cl).mov(dh, imm8(0))
  asm.push(dx).mov(ax, imm16(0x0201)).int(imm8(0x13)).pop(dx)
  asm.push(dx).mov(dx, imm16(0x3f8)).mov(al, cl).out(dx, al).pop(dx)
  asm.inc(bp).push(bp).mov(ax, imm16(0x0e41)).int(imm8(0x10)).pop(bp)
  asm.sti().hlt().jmp(next)
  return asm.assemble().bytes
}

/** The same numbers in each run, for each test by itself. */
const numbersOf = (kind: MachineDrive['interface']): ReturnType<typeof numbers> => numbers(kind?.length ?? 0)

function optionsOf(
  kind: MachineDrive['interface'],
  machine: 'pc' | 'q35',
  below: ReturnType<typeof numbers>,
): PcOptions {
  const bytes = Uint8Array.from({ length: 1 << 20 }, (_, i) => i * 7 + (i >> 9))
  bytes.fill(0, 0, 510)
  bytes.set(bootSector())
  bytes.set([0x55, 0xaa], 510)
  const late = async (): Promise<void> => {
    for (let i = below(4); i > 0; i--) await turn()
  }
  return {
    ...{ memoryBytes: 16 << 20, codeCacheBytes: 4 << 20, machine, clock: 'deterministic', vga: 'std' },
    jit: true,
    firmware: romOf('bios-256k.bin'),
    vgaBios: romOf('vgabios-stdvga.bin'),
    drives: [
      { medium: medium(bytes, late), ...(kind !== undefined && { interface: kind }) },
      { medium: null, media: 'cdrom' },
    ],
  }
}

/** Runs a machine up to a time of its own. */
async function runUntil(pc: Pc, ns: number): Promise<void> {
  const stop = new AbortController()
  const timer = pc.domain.timers.create(() => stop.abort())
  timer.armAfter(ns - pc.domain.clock.now())
  expect(await pc.run({ signal: stop.signal, timeoutMs: DEADLINE_MS })).toEqual({ reason: 'stopped' })
}

/** All that a machine is, with its memory as digests. */
async function all(pc: Pc): Promise<string[]> {
  const { state, pages } = await pc.save()
  const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')
  const text = JSON.stringify(state, (_key, value: unknown) => (value instanceof Uint8Array ? digest(value) : value), 1)
  const frames = [...pages.gfns].map((gfn, i) => `${gfn}: ${digest(pages.bytes.subarray(4096 * i, 4096 * (i + 1)))}`)
  return [...text.split('\n'), ...frames]
}

test.skipIf(bios === undefined).each([
  { kind: 'ide', machine: 'pc', begin: 0 },
  { kind: 'virtio', machine: 'pc', begin: BEFORE_DISK_NS },
  { kind: 'nvme', machine: 'pc', begin: BEFORE_DISK_NS },
  { kind: 'usb', machine: 'pc', begin: BEFORE_DISK_NS },
  { kind: 'scsi', machine: 'q35', begin: BEFORE_DISK_NS },
  { kind: undefined, machine: 'q35', begin: BEFORE_DISK_NS },
] as const)(
  `with a disk on $kind of a $machine${skipNote(bios !== undefined, 'cannot fetch it')}`,
  async ({ kind, machine, begin }) => {
    const below = numbersOf(kind)
    const first = await createPc(optionsOf(kind, machine, below))
    let printed = ''
    first.serial.onTransmit((bytes) => (printed += String.fromCharCode(...bytes)))
    // Firmware takes most of the time: one of them is saved from the start on.
    if (begin > 0) await runUntil(first, begin)
    let snapshot = begin > 0 ? structuredClone(await first.save()) : undefined
    await runUntil(first, END_NS)
    const expected = await all(first)
    first.close()
    // It has read sectors.
    expect(printed).toContain('\u0003A\u0004A')

    for (const at of [...(begin === 0 ? [0.05] : []), 2.27, 2.4]) {
      const pc = await createPc({ ...optionsOf(kind, machine, below), ...(snapshot && { snapshot }) })
      const end = new AbortController()
      const running = pc.run({ signal: end.signal, timeoutMs: DEADLINE_MS })
      const savedNs = at * 1e9 + below(100_000_000)
      while (pc.domain.clock.now() < savedNs) await turn()
      snapshot = structuredClone(await pc.save())
      end.abort()
      await running
      pc.close()
    }
    const last = await createPc({ ...optionsOf(kind, machine, below), ...(snapshot && { snapshot }) })
    await runUntil(last, END_NS)
    expect(await all(last)).toEqual(expected)
    last.close()
  },
  DEADLINE_MS,
)
