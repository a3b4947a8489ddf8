import type { CodeInfo } from '@retrap/x86-decoder'
import { QUIET, type ContractMachine, type DeviceAccess, type DevicePlan, type Outcome, type Start } from './machine.ts'

/** What a case violates; empty if nothing. */
export interface CaseReport {
  /** Vector of the exception or interrupt whose handler was reached; -1: shutdown. */
  readonly vector: number
  /** Accesses to devices, all candidate pages being devices. */
  readonly accesses: readonly DeviceAccess[]
  readonly violations: readonly string[]
  /** Times that the vCPU was blocked, over all runs. */
  readonly blocked: number
}

const PAGE_MASK = ~0xfff

function isPort({ kind }: DeviceAccess): boolean {
  return kind === 'in' || kind === 'out'
}

function show(a: DeviceAccess | undefined): string {
  return a === undefined
    ? 'nothing'
    : `${a.kind} of ${a.size} at ${a.address.toString(16)}${a.kind === 'write' || a.kind === 'out' ? ` ${a.hi.toString(16)}:${a.lo.toString(16)}` : ''}`
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b) === 0 ? -1 : a.findIndex((byte, i) => byte !== b[i])
}

/** What two runs differ in that should not differ. */
function differences(expected: Outcome, actual: Outcome): string[] {
  const out: string[] = []
  if (actual.violation !== undefined) out.push(actual.violation)
  if (expected.exit !== actual.exit) out.push(`ended with ${actual.exit}, not ${expected.exit}`)
  const register = firstDifference(expected.registers, actual.registers)
  if (register >= 0)
    out.push(
      `register byte ${register.toString(16)} is ${actual.registers[register]}, not ${expected.registers[register]}`,
    )
  const byte = firstDifference(expected.ram, actual.ram)
  if (byte >= 0) out.push(`memory at ${byte.toString(16)} is ${actual.ram[byte]}, not ${expected.ram[byte]}`)
  return out
}

function sameAccesses(expected: readonly DeviceAccess[], actual: readonly DeviceAccess[]): string[] {
  for (let i = 0; i < Math.max(expected.length, actual.length); i++) {
    if (show(expected[i]) !== show(actual[i]))
      return [`device access ${i} is ${show(actual[i])}, not ${show(expected[i])}`]
  }
  return []
}

/**
 * Runs one case with plain RAM, and then with each page in turn, and all together, being a device that puts every access
 * off. All runs must come to the same end, and make each device access once.
 *
 * @param candidates - pages that become devices
 */
export function checkReplay(machine: ContractMachine, start: Start, candidates: readonly number[]): CaseReport {
  const violations: string[] = []
  let blocked = 0
  const run = (used: boolean, plan: DevicePlan, settled?: Uint8Array): Outcome => {
    const outcome = machine.run({ ...start, used }, plan, settled)
    blocked += outcome.blocked
    return outcome
  }
  const note = (plan: string, found: readonly string[]): void => {
    for (const text of found) violations.push(`${plan}: ${text}`)
  }
  const plain = run(false, QUIET)
  const plainUsed = run(true, QUIET)
  const everything: DevicePlan = { pages: new Set(candidates), ports: true, retries: 0, scribble: 'no' }
  const asked = run(false, everything)
  note('devices that answer at once', differences(plain, asked))
  const touched = new Set(asked.accesses.filter((a) => !isPort(a)).map((a) => a.address & PAGE_MASK))
  const sets: ReadonlySet<number>[] = [...touched].map((page) => new Set([page]))
  if (sets.length !== 1) sets.push(everything.pages)
  const vector = plain.exit === 'hlt' ? plain.vector : -1
  if (plain.exit !== 'hlt' && plain.exit !== 'shutdown') violations.push(`ends with ${plain.exit}`)
  if (asked.accesses.length === 0) return { vector, accesses: [], violations, blocked }
  for (const pages of sets) {
    const name = [...pages].map((p) => p.toString(16)).join(' ')
    const expected = asked.accesses.filter((a) => isPort(a) || pages.has(a.address & PAGE_MASK))
    for (const [retries, scribble, used] of VARIANTS) {
      const outcome = run(used, { pages, ports: true, retries, scribble }, used ? plainUsed.ram : undefined)
      const plan = `page ${name} a device, ${retries} retries, scribbling: ${scribble}`
      note(plan, differences(used ? plainUsed : plain, outcome))
      note(plan, sameAccesses(expected, outcome.accesses))
      if (outcome.blocked !== retries * expected.length)
        note(plan, [`blocked ${outcome.blocked} times for ${expected.length} accesses`])
    }
  }
  return { vector, accesses: asked.accesses, violations, blocked }
}

const VARIANTS: readonly (readonly [number, DevicePlan['scribble'], boolean])[] = [
  [1, 'no', false],
  [2, 'while waiting', false],
  [1, 'until it retires', true],
]

/** Whether a device sees two reads, or two writes, of one byte. */
export function touchesTwice(accesses: readonly DeviceAccess[]): boolean {
  const seen = new Set<string>()
  for (const { kind, address, size } of accesses) {
    for (let i = 0; i < size; i++) {
      const key = `${kind} ${address + i}`
      if (seen.has(key)) return true
      seen.add(key)
    }
  }
  return false
}

/**
 * Whether elements of a gather lie one upon the other: then what another party writes between their reads is seen by the
 * later one, as it should be (gather.test.ts), and the two runs differ.
 */
export function readsOverlap({ mnemonic }: CodeInfo, { accesses }: CaseReport): boolean {
  return mnemonic.includes('GATHER') && touchesTwice(accesses)
}
