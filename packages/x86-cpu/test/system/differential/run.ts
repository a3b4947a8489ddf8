import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasProgram } from '@retrap/tooling/skip'
import { BareCpu, type BareOptions } from '../../support/bare-cpu.ts'
import * as at from './layout.ts'
import type { Record, SegmentationCase } from './layout.ts'
import { image32, operations32 } from './program32.ts'
import { image64, operations64 } from './program64.ts'

/** Bits of EFLAGS that are not compared: RF, which QEMU does not push, and VIF and VIP, which it does not load. */
const FLAGS_IGNORED = 0x0019_0000

/** Whether there is a QEMU to compare with. */
export function hasQemu(): boolean {
  return hasProgram('qemu-system-x86_64')
}

function image(cases: readonly SegmentationCase[], long: boolean): Uint8Array {
  const program = long ? image64(cases.length) : image32(cases.length)
  const bytes = new Uint8Array(at.CASES - at.LOAD + cases.length * at.CASE_BYTES)
  bytes.set(program)
  bytes.set(encodeCases(cases, long), at.CASES - at.LOAD)
  return bytes
}

function encodeCases(cases: readonly SegmentationCase[], long: boolean): Uint8Array {
  return at.encodeCases(cases, long ? operations64 : operations32)
}

function records(bytes: Uint8Array): Record[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: Math.floor(bytes.length / at.RECORD_BYTES) }, (_, i) =>
    Object.fromEntries(at.RECORD_FIELDS.map((field, j) => [field, view.getUint32(i * at.RECORD_BYTES + 4 * j, true)])),
  ) as Record[]
}

/** What a multiboot image sends to RESULT_PORT on QEMU, until it writes 10H to EXIT_PORT. */
export function outputOnQemu(program: Uint8Array, cpu = 'max'): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-differential-'))
  try {
    const kernel = join(folder, 'image')
    const output = join(folder, 'output')
    writeFileSync(kernel, program)
    writeFileSync(output, '')
    const options = ['-accel', 'tcg', '-cpu', cpu, '-m', '32', '-display', 'none', '-no-reboot', '-kernel', kernel]
    const result = spawnSync(
      'qemu-system-x86_64',
      [
        ...options,
        '-chardev',
        `file,id=results,path=${output}`,
        '-device',
        `isa-debugcon,iobase=${at.RESULT_PORT},chardev=results`,
        '-device',
        `isa-debug-exit,iobase=${at.EXIT_PORT},iosize=2`,
      ],
      { encoding: 'utf8', timeout: 60_000 },
    )
    if (result.status !== 33)
      throw new Error(`QEMU ended with ${String(result.status ?? result.signal)}: ${result.stderr}`)
    return readFileSync(output)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The same here, until it halts. */
export function outputHere(
  program: Uint8Array,
  options: Omit<BareOptions, 'mode'> = {},
  prepare: (pc: BareCpu) => void = () => undefined,
): Uint8Array {
  const pc = new BareCpu({ ...options, mode: 'protected' })
  prepare(pc)
  const out: number[] = []
  pc.host.ports.set(at.RESULT_PORT, {
    read: () => 0n,
    write: (_offset, _size, value) => {
      out.push(Number(value))
      pc.host.seen.length = 0
      return true
    },
  })
  pc.load(at.LOAD, program)
  pc.rip = new DataView(program.buffer).getUint32(28, true)
  for (;;) {
    const exit = pc.run(100_000)
    if (exit.reason === 'budget' || exit.reason === 'yield') continue
    if (exit.reason !== 'hlt')
      throw new Error(`the program ended with ${exit.reason} after ${out.length} bytes of results`)
    return Uint8Array.from(out)
  }
}

/** Limit bits in what LAR gives are undefined, and QEMU clears them. */
function comparable(field: string, value: number, c: SegmentationCase, long: boolean, record: Record): number {
  switch (field) {
    case 'flags':
      return value & ~FLAGS_IGNORED
    case 'slots':
      // Accessed bits of code and data segments.
      return [0, 8, 16, 24].reduce((sum, shift) => (((value >>> shift) & 0x10) === 0 ? sum : sum | (1 << shift)), value)
    case 'cx':
      return c.operation === 'lar' ? value & ~0xf_0000 : value
    case 'error':
      // QEMU multiplies the vector by 16 in IA-32e mode.
      return long && record.vector !== at.END_VECTOR && value === at.GATE_VECTOR * 16 + 2
        ? at.GATE_VECTOR * 8 + 2
        : value
    case 'ip':
      // QEMU loses track of EIP when a new task's segments fault.
      return c.operation.startsWith('task') && record.vector !== at.END_VECTOR ? 0 : value
    default:
      return value
  }
}

/** Attributes of a slot, as bits 55:40 of a descriptor. */
function attributesOf(c: SegmentationCase, selector: number): number {
  const slot = c.slots[((selector & ~7) - at.SLOT_SELECTOR) >> 3]
  return slot === undefined || (selector & 4) !== 0 ? 0 : Number((slot >> 40n) & 0xffffn)
}

/**
 * Whether QEMU departs from the manual in a case: a far CALL at CPL 3 through a call gate to conforming code of an inner
 * level, for which QEMU changes the level and the stack.
 *
 * Source: SDM vol. 3A, "Accessing a Code Segment Through a Call Gate": "If a call or jump is made to a more privileged
 * conforming destination code segment, the CPL is not changed and no stack switch occurs."
 */
function qemuDeparts(c: SegmentationCase): boolean {
  const type = attributesOf(c, c.selector) & 0x1f
  if (!c.operation.startsWith('call far') || (type !== 0x0c && type !== 0x04)) return false
  const gate = c.slots[((c.selector & ~7) - at.SLOT_SELECTOR) >> 3] as bigint
  const target = attributesOf(c, Number((gate >> 16n) & 0xffffn))
  const conforming = (target & 0x1c) === 0x1c
  return conforming && ((target >>> 5) & 3) < c.cpl
}

const hex = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' || typeof value === 'number' ? `0x${value.toString(16)}` : value

/** Runs cases here and on QEMU. @returns a line for each that ends differently */
export function differences(cases: readonly SegmentationCase[], long: boolean): string[] {
  const program = image(cases, long)
  const ours = records(outputHere(program))
  const theirs = records(outputOnQemu(program))
  const found: string[] = []
  for (const [i, c] of cases.entries()) {
    const [a, b] = [ours[i], theirs[i]]
    if (a === undefined || b === undefined) {
      found.push(`${ours.length} results here, ${theirs.length} on QEMU: ${JSON.stringify(c, hex)}`)
      break
    }
    const fields = at.RECORD_FIELDS.filter(
      (field) => comparable(field, a[field], c, long, a) !== comparable(field, b[field], c, long, b),
    )
    if (fields.length === 0 || qemuDeparts(c)) continue
    const text = fields.map((field) => `${field} ${a[field].toString(16)}, on QEMU ${b[field].toString(16)}`).join('; ')
    found.push(`${c.operation} at CPL ${c.cpl}: ${text} (vector ${a.vector.toString(16)}) ${JSON.stringify(c, hex)}`)
  }
  return found
}
