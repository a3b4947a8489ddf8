import type { XenDomain } from './domain.ts'
import { tscScale } from './cpuid.ts'
import { systemTime } from './system-time.ts'

/* struct vcpu_time_info (public/xen.h). */
export const VCPU_TIME_BYTES = 32
const VERSION = 0
const TSC_TIMESTAMP = 8
const SYSTEM_TIME = 16
const MULTIPLIER = 24
const SHIFT = 28
const FLAGS = 29
const TSC_STABLE = 1
const KHZ_OF_A_TICK_PER_NS = 1e6

/**
 * A vCPU's clock page: how its time-stamp counter becomes the domain's system time, which is its virtual time.
 *
 * The two run at one rate for good, so that a page holds until the guest moves the counter.
 *
 * @param version - of the page now; it comes out 2 higher
 */
export function vcpuTimeInfo(domain: XenDomain, vcpu: number, version: number): Uint8Array {
  const bytes = new Uint8Array(VCPU_TIME_BYTES)
  const view = new DataView(bytes.buffer)
  const now = systemTime(domain.clock)
  const kHz = domain.tscPerNs * KHZ_OF_A_TICK_PER_NS
  const ticks = (now * BigInt(Math.round(kHz))) / BigInt(KHZ_OF_A_TICK_PER_NS)
  const offset = domain.vcpus[vcpu]?.cpu.tscOffset ?? 0n
  const [multiplier, shift] = tscScale(kHz)
  view.setUint32(VERSION, ((version | 1) + 1) >>> 0, true)
  view.setBigUint64(TSC_TIMESTAMP, BigInt.asUintN(64, ticks + offset), true)
  view.setBigUint64(SYSTEM_TIME, now, true)
  view.setUint32(MULTIPLIER, multiplier, true)
  view.setInt8(SHIFT, shift)
  view.setUint8(FLAGS, countersAgree(domain) ? TSC_STABLE : 0)
  return bytes
}

/** Whether the time-stamp counters of all vCPUs are the same. */
function countersAgree({ vcpus }: XenDomain): boolean {
  const first = vcpus[0]?.cpu.tscOffset
  return vcpus.every(({ cpu }) => cpu.tscOffset === first)
}
