import { AccessLog } from '@retrap/replay'
import type { Translation } from '@retrap/x86-cpu'
import type { Adversary } from './adversary.ts'
import type { ChaosMachine } from './machine.ts'

/** Who is told of the units (instructions and deliveries of events) that a machine logs. */
export interface UnitListener {
  began(): void
  /** The log still has what the unit did. */
  ends(): void
}

/** Makes an adversary stop where the instruction reads something for the first time, or ends. */
export function hook({ cpu, vcpu, domain }: ChaosMachine, adversary: Adversary, listener: UnitListener): void {
  const { log } = cpu
  const prototype = AccessLog.prototype
  log.beginWalk = () => {
    if (!log.replaying) adversary.undo()
    prototype.beginWalk.call(log)
  }
  // Both halves of an operand are translated before either is accessed: one that is new finds the map as it was.
  const translations = new Set<Translation>()
  const translate = vcpu.translate.bind(vcpu)
  vcpu.translate = (lo, hi, rights, into, logged) => {
    if (logged !== null) translations.add(into)
    return translate(lo, hi, rights, into, logged)
  }
  log.nextKind = () => {
    const kind = prototype.nextKind.call(log)
    if (kind < 0 && adversary.undo()) {
      for (const each of translations) {
        each.ma = domain.p2m.translate(each.gpa)
        each.writable = domain.p2m.translateWrite(each.gpa) >= 0
      }
    }
    return kind
  }
  log.forEachHeldWrite = (visit) => {
    adversary.undo()
    prototype.forEachHeldWrite.call(log, visit)
  }
  log.end = () => {
    adversary.undo()
    listener.ends()
    prototype.end.call(log)
  }
  log.begin = () => {
    listener.began()
    prototype.begin.call(log)
  }
  log.beginWaiting = (...access) => {
    listener.began()
    prototype.beginWaiting.call(log, ...access)
  }
  const repeat = vcpu.repeat.bind(vcpu)
  vcpu.repeat = () => {
    const { dataIsPointer, dataLo } = vcpu.record
    adversary.named = dataIsPointer ? dataLo >>> 12 : -1
    return repeat()
  }
  const ramAddress = vcpu.ramAddress.bind(vcpu)
  vcpu.ramAddress = (gpa) => {
    if (!log.replaying) adversary.undo()
    return ramAddress(gpa)
  }
}
