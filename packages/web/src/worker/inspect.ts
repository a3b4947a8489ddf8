// The inspector's view of a machine. Loaded when somebody looks.
import type { X86Domain } from '@retrap/hvm'
import type { LocalApic } from '@retrap/irqchip'
import { PAGE_BYTES } from '@retrap/memory'
import { P2mType } from '@retrap/p2m'
import { type AccessLog, accountOf } from '@retrap/replay'
import type {
  InterruptView,
  IoApicInputView,
  LocalApicView,
  MapView,
  PcView,
  PicView,
  VcpuView,
  WaitView,
} from '../inspection.ts'

/** Segment registers by number. */
const SEGMENTS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'] as const
const CS = 1
/** Bytes of code shown for a vCPU. */
export const CODE_BYTES = 64
const MASKED = 1 << 16
const TRIGGER_LEVEL = 1 << 15
/** Vector bits of ICW2 of an i8259. */
const BASE = 0xf8

/** Inspects a domain without changing it. */
export function inspectDomain(domain: X86Domain): Omit<PcView, 'requests' | 'devices'> {
  return {
    architecture: 'x86',
    instructions: domain.instructions,
    vcpus: domain.vcpus.map((vcpu) => viewOf(domain, vcpu)),
    interrupts: interruptsOf(domain),
    map: mapOf(domain, P2mType),
    invalidations: domain.invalidations.account(),
  }
}

function viewOf(domain: X86Domain, vcpu: X86Domain['vcpus'][number]): VcpuView {
  const { registers, busy, halted, waitsForStartup, log } = vcpu.cpu
  const mode = ([16, 32, 64] as const)[registers.mode] ?? 16
  const address = BigInt.asUintN(mode === 64 ? 64 : 32, registers.segmentBase(CS) + registers.rip)
  return {
    mode,
    address,
    bytes: vcpu.translation.peekCode(address, CODE_BYTES).slice(),
    idle: vcpu.dormant,
    activity: busy
      ? 'waits for a device'
      : waitsForStartup
        ? 'waits for start-up'
        : halted || vcpu.dormant
          ? 'halted'
          : 'executes',
    registers: [...registers.general.subarray(0, 16)],
    ip: registers.rip,
    flags: vcpu.cpu.materialiseFlags() >>> 0,
    control: {
      cr0: BigInt(registers.cr0 >>> 0),
      cr2: registers.cr2,
      cr3: registers.cr3,
      cr4: BigInt(registers.cr4 >>> 0),
      efer: BigInt(registers.efer >>> 0),
    },
    segments: SEGMENTS.map((name, i) => ({ name, selector: registers.selector(i), base: registers.segmentBase(i) })),
    ...waitOf(domain, vcpu.id, log),
  }
}

/** The instruction of a vCPU that waits. */
export function waitOf({ dispatch }: Pick<X86Domain, 'dispatch'>, vcpu: number, log: AccessLog): WaitView {
  const { accesses, ...instruction } = accountOf(log)
  return { ...instruction, log: accesses, waitsFor: dispatch.requests.describe(vcpu) }
}

/** Names of the types of frames, as Xen writes them. */
export const typeNames = (types: Readonly<Record<string, number>>): Map<number, string> =>
  new Map(Object.entries(types).map(([name, type]) => [type, name.toLowerCase()]))

/** Words of a controller's saved state. */
type Words<N extends string> = Readonly<Record<N, number>>
type PicWords = Words<'icw2' | 'mask' | 'lines' | 'inService'>

function interruptsOf({ interrupts }: X86Domain): InterruptView {
  const { entries, lines } = interrupts.ioApic.save() as { entries: readonly Words<'low'>[]; lines: number }
  const { master, slave } = interrupts.i8259.save() as Record<'master' | 'slave', PicWords>
  const inputs = entries.map(({ low }, input): IoApicInputView => ({
    input,
    vector: low & 0xff,
    masked: (low & MASKED) !== 0,
    trigger: (low & TRIGGER_LEVEL) !== 0 ? 'level' : 'edge',
    asserted: ((lines >>> input) & 1) !== 0,
  }))
  return {
    localApics: interrupts.localApics.map(apicOf),
    ioApic: inputs.filter(({ masked, asserted }) => !masked || asserted),
    pics: [master, slave].map(({ icw2, mask, lines, inService }): PicView => ({
      firstVector: icw2 & BASE,
      mask,
      lines,
      inService,
    })),
  }
}

function apicOf(apic: LocalApic): LocalApicView {
  const { taskPriority, vectors, lvt } = apic.save() as Words<'taskPriority'> & {
    vectors: Readonly<Record<'requests' | 'inService', readonly number[]>>
    lvt: Words<'timer'>
  }
  return {
    taskPriority,
    requested: bitsOf(vectors.requests),
    inService: bitsOf(vectors.inService),
    timerVector: (lvt.timer & MASKED) !== 0 ? null : lvt.timer & 0xff,
  }
}

/** The numbers of the bits that are set in words of 32 bits. */
function bitsOf(words: readonly number[]): number[] {
  const all = Array.from({ length: 32 * words.length }, (_, bit) => bit)
  return all.filter((bit) => ((words[bit >>> 5]! >>> (bit & 31)) & 1) !== 0)
}

/** The map of guest memory. @param types - numbers of its types, by name */
export function mapOf({ p2m }: Pick<X86Domain, 'p2m'>, types: Readonly<Record<string, number>>): MapView {
  const names = typeNames(types)
  const { frames, leaves, tableBytes } = p2m.statistics()
  const { ram, logged } = p2m.types
  const bytesByType: Record<string, number> = {}
  for (const [type, count] of Object.entries(frames)) {
    // A machine that has been saved logs the writes to its RAM for the next time.
    const name = names.get(Number(type) === logged ? ram : Number(type)) ?? type
    bytesByType[name] = (bytesByType[name] ?? 0) + count * PAGE_BYTES
  }
  return { bytesByType, leaves, tableBytes }
}
