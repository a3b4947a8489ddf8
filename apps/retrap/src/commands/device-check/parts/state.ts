/** A device's state: at power-on, after a reset, saved, and taken again. */
import type { DeclaredDevice } from '@retrap/device-hosting/protocol'
import { setTimeout } from 'node:timers/promises'
import type { Conversation } from '../conversation.ts'
import { hexOf } from '../frame-text.ts'
import type { Part } from '../part.ts'
import type { Rule } from '../report.ts'
import { RULES } from '../rules.ts'

/** Host time that a device may take to be quiet. */
const QUIESCE_MS = 1000
/** Time in which a quiesced device must stay silent. */
const LISTEN_MS = 20

const devicesThere = (talk: Conversation): DeclaredDevice[] =>
  talk.objects.devices.filter(({ isOffered }) => !isOffered)

const quiesce = async (talk: Conversation, device: number): Promise<boolean> =>
  (await talk.call({ kind: 'quiesce', device, deadline: QUIESCE_MS })) !== null

async function resume(talk: Conversation, device: number): Promise<boolean> {
  talk.quiet.delete(device)
  return (await talk.call({ kind: 'resume', device, now: talk.time })) !== null
}

async function save(talk: Conversation, device: number): Promise<Uint8Array | null> {
  const answer = await talk.call({ kind: 'save', device })
  return answer?.kind === 'done' ? Uint8Array.from(answer.result) : null
}

async function restore(talk: Conversation, device: number, state: Uint8Array): Promise<boolean> {
  talk.stopTimers(device)
  return (await talk.call({ kind: 'restore', device, state, now: talk.time })) !== null
}

/** Saves a device's state. @returns null if the server has not answered with a state */
async function snapshot(talk: Conversation, device: number): Promise<Uint8Array | null> {
  if (!(await quiesce(talk, device))) return null
  const state = await save(talk, device)
  return (await resume(talk, device)) ? state : null
}

function same(talk: Conversation, rule: Rule, name: string, found: Uint8Array, wanted: Uint8Array): boolean {
  if (Buffer.compare(found, wanted) === 0) return true
  const seen = `${name} saves ${found.length} bytes:\n${hexOf(found)}`
  talk.report.fail(rule, seen, `${wanted.length} bytes:\n${hexOf(wanted)}`)
  return false
}

/** Returns the devices with a state; without any the rules are skipped. */
function withState(talk: Conversation, rules: readonly Rule[]): DeclaredDevice[] {
  const devices = devicesThere(talk).filter(({ isStateless }) => !isStateless)
  if (devices.length === 0) talk.report.skip('no device that is there has a state', ...rules)
  return devices
}

/** The state of each device at power-on. */
const atPowerOn = new WeakMap<Conversation, Map<number, Uint8Array>>()

/** `quiesce`, `save` and `resume`, before any access. */
export const POWER_ON: Part = {
  title: 'A snapshot at power-on',
  rules: [RULES.quiesce, RULES.quiet, RULES.saves],
  async run(talk) {
    const { report } = talk
    const states = new Map<number, Uint8Array>()
    atPowerOn.set(talk, states)
    for (const { id, name, isStateless } of devicesThere(talk)) {
      if (!(await quiesce(talk, id))) return
      if (!isStateless) {
        const [first, second] = [await save(talk, id), await save(talk, id)]
        if (first === null || second === null) return
        states.set(id, first)
        same(talk, RULES.saves, name, second, first)
      }
      await setTimeout(LISTEN_MS)
      if (!(await resume(talk, id))) return
    }
    report.ok(RULES.quiesce)
    if (withState(talk, [RULES.saves]).length > 0 && !report.has(RULES.saves)) report.ok(RULES.saves)
  },
}

/** `reset`, after the guest has used the devices. */
export const RESET: Part = {
  title: 'Reset',
  rules: [RULES.reset],
  async run(talk) {
    const { report } = talk
    for (const { id, name, isStateless } of devicesThere(talk)) {
      talk.stopTimers(id)
      if ((await talk.call({ kind: 'reset', device: id, now: talk.time })) === null) return
      const before = atPowerOn.get(talk)?.get(id)
      if (isStateless || before === undefined) continue
      const state = await snapshot(talk, id)
      if (state === null || !same(talk, RULES.reset, name, state, before)) return
    }
    report.ok(RULES.reset)
  },
}

/** The part that saves states, and restores them in the same server. */
export const RESTORE: Part = {
  title: 'Save and restore',
  rules: [RULES.restore, RULES.timersAgain],
  async run(talk, { states, report }) {
    const devices = withState(talk, [RULES.restore, RULES.timersAgain])
    let count = 0
    for (const { id, name } of devices) {
      const state = await snapshot(talk, id)
      const armed = armedOf(talk, id)
      if (state === null) return
      states.set(name, state)
      if (!(await takeAgain(talk, RULES.restore, id, name, state))) return
      const again = armedOf(talk, id)
      if (again !== armed) report.fail(RULES.timersAgain, `${name}: ${again || 'no timer'}`, armed || 'no timer')
      else if (armed !== '') count++
    }
    if (devices.length === 0) return
    report.ok(RULES.restore)
    if (report.has(RULES.timersAgain)) return
    if (count > 0) report.ok(RULES.timersAgain)
    else report.skip('no timer was armed in a state', RULES.timersAgain)
  },
}

/** The timers of a device that are armed, as text. */
function armedOf({ timers }: Conversation, id: number): string {
  const own = [...timers].filter(([, { device }]) => device === id).toSorted(([a], [b]) => a - b)
  return own.map(([timer, { deadline }]) => `timer ${timer} at ${deadline} ns`).join(', ')
}

/** Restores a state, and checks whether the device has it. */
async function takeAgain(
  talk: Conversation,
  rule: Rule,
  id: number,
  name: string,
  state: Uint8Array,
): Promise<boolean> {
  if (!(await quiesce(talk, id)) || !(await restore(talk, id, state)) || !(await resume(talk, id))) return false
  const again = await snapshot(talk, id)
  return again !== null && same(talk, rule, name, again, state)
}

/** The part that restores states in another session, and in another process if the check starts the server. */
export const ELSEWHERE: Part = {
  title: 'Restore in another session',
  rules: [RULES.elsewhere],
  async run(talk, { states, another, report }) {
    if (states.size === 0) return report.skip('no state was saved', RULES.elsewhere)
    const other = await another(talk.now)
    if (typeof other === 'string') return report.skip(other, RULES.elsewhere)
    for (const [name, state] of states) {
      const device = other.objects.devices.find((each) => each.name === name)
      if (device === undefined) {
        report.fail(RULES.elsewhere, `no device ${name} in another session`, 'the same devices')
        return
      }
      if (!(await takeAgain(other, RULES.elsewhere, device.id, name, state))) break
    }
    if (other.over === null) report.ok(RULES.elsewhere)
    other.close('bye')
  },
}
