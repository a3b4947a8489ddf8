import type { QemuVga } from './qemu-vga.ts'
import { type Draw, type VgaAccess, vgaCase } from './vga-case.ts'
import type { VgaMachine } from './vga-machine.ts'

const INDEX = 0x1ce
const DATA = 0x1d0
/** All that the accesses of a case reach. */
const COMPARED_BYTES = 0x8_0000
const COLOUR_BYTES = 3 * 256
const SUFFIX = { 1: 'b', 2: 'w', 4: 'l' } as const

/** Makes an access here; returns what a read gives. */
function access({ machine }: VgaMachine, { kind, address, size, value }: VgaAccess): number | undefined {
  if (kind === 'memory') {
    if (value === undefined) return machine.load(address, size)
    machine.store(address, value, size)
  } else if (kind === 'dispi') {
    machine.out(INDEX, address, 2)
    if (value === undefined) return machine.in(DATA, 2)
    machine.out(DATA, value, 2)
  } else if (value === undefined) return machine.in(address, size)
  else machine.out(address, value, size)
  return undefined
}

/** The same access as lines of the qtest protocol; the last one's answer counts. */
function lines({ kind, address, size, value }: VgaAccess): string[] {
  const at = `0x${address.toString(16)}`
  if (kind === 'dispi') {
    const data = value === undefined ? `inw 0x${DATA.toString(16)}` : `outw 0x${DATA.toString(16)} ${value}`
    return [`outw 0x${INDEX.toString(16)} ${at}`, data]
  }
  const suffix = SUFFIX[size]
  if (kind === 'port') return [value === undefined ? `in${suffix} ${at}` : `out${suffix} ${at} ${value}`]
  return [value === undefined ? `read${suffix} ${at}` : `write${suffix} ${at} ${value}`]
}

/** Runs a random case in both; returns how they differ, or undefined. */
export async function compareVga(ours: VgaMachine, qemu: QemuVga, draw: Draw): Promise<string | undefined> {
  await clear(ours, qemu)
  const accesses = vgaCase(draw)
  const asked = accesses.map(lines)
  const answers = await qemu.send(asked.flat())
  let at = 0
  for (const [i, one] of accesses.entries()) {
    at += asked[i]!.length
    const found = access(ours, one)
    const expected = Number(answers[at - 1]) % 2 ** (8 * one.size)
    if (found === undefined || one.ignored === true || found === expected) continue
    const where = `${one.kind} 0x${one.address.toString(16)}, ${one.size} bytes`
    return `access ${i}: ${where}: 0x${found.toString(16)}, in QEMU 0x${expected.toString(16)}`
  }
  return (await compareMemory(ours, qemu)) ?? (await compareScreens(ours, qemu))
}

/** What a case before has left in memory and in the colours goes: each case stands by itself. */
async function clear({ machine, memory }: VgaMachine, qemu: QemuVga): Promise<void> {
  memory.view.fill(0, 0, COMPARED_BYTES)
  machine.out(0x3c8, 0)
  for (let i = 0; i < COLOUR_BYTES; i++) machine.out(0x3c9, 0)
  const colours = Array.from({ length: COLOUR_BYTES }, () => 'outb 0x3c9 0')
  await qemu.send([qemu.clearing(COMPARED_BYTES), 'outb 0x3c8 0', ...colours])
}

async function compareMemory({ memory }: VgaMachine, qemu: QemuVga): Promise<string | undefined> {
  const expected = await qemu.memory(COMPARED_BYTES)
  const at = expected.findIndex((byte, i) => byte !== memory.view[i])
  if (at < 0) return undefined
  return `frame buffer at 0x${at.toString(16)}: ${memory.view[at]}, in QEMU ${expected[at]}`
}

async function compareScreens({ screen, vga }: VgaMachine, qemu: QemuVga): Promise<string | undefined> {
  screen.refresh()
  const { width, height, pixels } = await qemu.screen()
  if (width !== screen.width || height !== screen.height)
    return `the screen has ${screen.width}×${screen.height}, in QEMU ${width}×${height}`
  // The two make eight bits of five and six in ways of their own.
  const { registers } = vga.save().dispi as { registers: readonly number[] }
  const fiveBits = registers[4] !== 0 && (registers[3] === 15 || registers[3] === 16)
  const mask = fiveBits ? 0xf8_f8f8 : 0xfc_fcfc
  for (let i = 0; i < pixels.length; i++) {
    const [found, expected] = [screen.pixels[i]! & 0xff_ffff, pixels[i]!]
    if (((found ^ expected) & mask) === 0) continue
    const where = `${i % width}, ${Math.floor(i / width)} of ${width}×${height}`
    return `pixel ${where}: ${found.toString(16)}, in QEMU ${expected.toString(16)}`
  }
  return undefined
}
