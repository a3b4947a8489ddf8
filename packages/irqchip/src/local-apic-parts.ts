import { ApicArrivals } from './apic-arrivals.ts'
import { ApicBase } from './apic-base.ts'
import { ApicDelivery } from './apic-delivery.ts'
import { ApicEvents } from './apic-events.ts'
import { ApicIdentity } from './apic-identity.ts'
import { LOCAL_APIC_STATE_BYTES } from './apic-layout.ts'
import { ApicPage } from './apic-page.ts'
import { APIC_LVT_TIMER, SVR_SUPPRESS_EOI } from './apic-registers.ts'
import { ApicTimerUnit, tscSinceZero } from './apic-timer.ts'
import { checkRegion } from './arguments.ts'
import { checkLocalApicOptions } from './local-apic-options.ts'
import type { LocalApicOptions } from './local-apic-options.ts'
import { LocalVectorTable } from './local-vector-table.ts'
import { TaskPriority } from './task-priority.ts'
import { ownRegion } from './time.ts'
import { VectorRegisters } from './vector-registers.ts'

/** What a local APIC consists of: units over the words of its state. */
interface LocalApicParts {
  /** The state. */
  readonly words: Int32Array
  readonly base: ApicBase
  readonly identity: ApicIdentity
  readonly events: ApicEvents
  readonly vectors: VectorRegisters
  readonly priority: TaskPriority
  readonly timer: ApicTimerUnit
  readonly lvt: LocalVectorTable
  readonly delivery: ApicDelivery
  readonly arrivals: ApicArrivals
  readonly page: ApicPage
}

/** Makes the units of a local APIC and joins them. @throws IrqchipError `ERR_INVALID` */
export function localApicParts(options: LocalApicOptions): LocalApicParts {
  checkLocalApicOptions(options)
  const region = options.state ?? ownRegion(LOCAL_APIC_STATE_BYTES)
  checkRegion(region, LOCAL_APIC_STATE_BYTES)
  const words = new Int32Array(region.buffer, region.byteOffset, LOCAL_APIC_STATE_BYTES / 4)
  const doubles = new Float64Array(region.buffer, region.byteOffset, LOCAL_APIC_STATE_BYTES / 8)
  const { cpu, bus } = options
  const base = new ApicBase(words, options.bootstrap, options.x2apic ?? true, options.physicalBits ?? 40)
  const events = new ApicEvents(words)
  const vectors = new VectorRegisters(words)
  const priority = new TaskPriority(words)
  const arrivals = new ApicArrivals({ cpu, words, base, bus, events, vectors })
  const lvt = new LocalVectorTable(words, arrivals)
  const timer = new ApicTimerUnit(words, doubles, {
    clock: options.clock,
    timerHz: options.timerHz ?? 1e9,
    tscToNs: options.tscToNs?.bind(options) ?? tscSinceZero(options.tscHz ?? 1e9),
    fire: () => lvt.deliver(APIC_LVT_TIMER),
  })
  const delivery = new ApicDelivery({ cpu, words, base, bus, events, vectors, priority, lvt })
  const cmci = options.cmci ?? false
  const directed = options.directedEoi ?? true
  const page = new ApicPage({
    cpu,
    words,
    base,
    bus,
    vectors,
    priority,
    timer,
    lvt,
    // Version 0x14: an integrated APIC. Bits 23:16: highest LVT entry.
    version: 0x14 | ((cmci ? 6 : 5) << 16) | (directed ? 1 << 24 : 0),
    cmci,
    svrWritable: 0x1ff | (directed ? SVR_SUPPRESS_EOI : 0),
    changed: () => delivery.changed(),
    error: (bit) => arrivals.error(bit),
    accept: (vector, level) => arrivals.accept(vector, level),
  })
  const identity = new ApicIdentity(words, base, options.apicId ?? cpu)
  return { words, base, identity, events, vectors, priority, timer, lvt, delivery, arrivals, page }
}
