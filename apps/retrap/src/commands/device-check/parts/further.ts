/** Timers, transfers that are refused, and hot plug. */
import type { Conversation } from '../conversation.ts'
import type { Part } from '../part.ts'
import { RULES } from '../rules.ts'
import { readEdges, regionsThere, writeEdges } from './accesses.ts'

/** Most deadlines to wait for: a timer may set itself again forever. */
const MOST_DEADLINES = 12
/** Tolerance for a timer behind its deadline. */
const LATER_NS = 1_000_000n

/** Advances virtual time to the next deadline. @param laterNs - delay of the timer @returns whether the server has answered */
async function goOn(talk: Conversation, laterNs = 0n): Promise<boolean> {
  const [timer, { deadline }] = [...talk.timers].reduce((first, each) =>
    each[1].deadline < first[1].deadline ? each : first,
  )
  if (deadline + laterNs > talk.now) talk.now = deadline + laterNs
  return talk.expire(timer)
}

/** Virtual time goes on from deadline to deadline. */
export const TIMERS: Part = {
  title: 'Timers',
  rules: [RULES.timers, RULES.lateTimers],
  async run(talk, { writes }) {
    const { report } = talk
    // Writes, as of a driver, may start the devices' timers.
    if (talk.timers.size === 0 && writes) await writeEdges(talk, regionsThere(talk))
    const counts = [0, 0]
    for (let fired = 0; fired < MOST_DEADLINES && talk.timers.size > 0; fired++) {
      const isLate = fired % 2 === 1
      if (!(await goOn(talk, isLate ? LATER_NS : 0n))) return
      counts[isLate ? 1 : 0]!++
    }
    for (const [at, rule] of [RULES.timers, RULES.lateTimers].entries()) {
      if (counts[at] === 0) report.skip(at === 0 ? 'no timer was armed' : 'no timer was armed a second time', rule)
      else report.ok(rule, `${counts[at]} times`)
    }
  },
}

/** The part in which the machine refuses all DMA, as for a function that is not a bus master. */
export const REFUSED: Part = {
  title: 'Transfers',
  rules: [RULES.refused],
  async run(talk, { writes, report }) {
    if (talk.transfers === 0) return report.skip('it has asked for none', RULES.refused)
    if (!writes) return report.skip('--no-writes', RULES.refused)
    const before = talk.transfers
    talk.refuses = true
    const regions = regionsThere(talk)
    let done = (await writeEdges(talk, regions)) !== null && (await readEdges(talk, regions)) !== null
    // Pending work may continue at a deadline.
    for (let fired = 0; done && fired < MOST_DEADLINES && talk.timers.size > 0; fired++) {
      done = await goOn(talk)
    }
    talk.refuses = false
    if (!done) return
    if (talk.transfers === before) report.skip('it has asked for none this time', RULES.refused)
    else report.ok(RULES.refused, `${talk.transfers - before} were refused`)
  },
}

/** Devices that are offered come and go. */
export const PLUG: Part = {
  title: 'Hot plug',
  rules: [RULES.plug, RULES.plugAgain],
  async run(talk) {
    const { report, objects } = talk
    const offered = objects.devices.filter(({ isOffered }) => isOffered)
    if (offered.length === 0) return report.skip('no device is offered', ...this.rules)
    for (const rule of this.rules) {
      for (const { id: device } of offered) {
        const regions = objects.regions().filter((each) => each.device.id === device)
        if ((await talk.call({ kind: 'plug', device, now: talk.time })) === null) return
        if ((await readEdges(talk, regions)) === null) return
        talk.stopTimers(device)
        if ((await talk.call({ kind: 'unplug', device, now: talk.time })) === null) return
      }
      report.ok(rule)
    }
  },
}
