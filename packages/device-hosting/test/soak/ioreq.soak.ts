import type { Rng, Soak } from '@retrap/tooling/soak'
import { defineDevice, type AccessRequest } from '@retrap/device'
import * as index from '@retrap/ioreq'
import type { IoreqServer } from '@retrap/ioreq'
import { makeMachine, STATUS } from '../machine.ts'

const VCPUS = 3
/** Each model has this many addresses; a request's address tells which request it is. */
const SPAN = 256
const SYNCHRONOUS = 0x1000
const SLOW = 0x2000
const FOREIGN = 0x3000
const NOBODY = 0x4000

/** What the model of the machine knows of a vCPU's request. */
interface Expected {
  readonly base: number
  readonly address: number
  readonly answer: number
  readonly server: IoreqServer | null
  completed: boolean
  /** The server was destroyed before it had answered. */
  ended: boolean
}

interface Open {
  readonly address: number
  readonly access: AccessRequest
  resolve(value: number): void
}

/** Some turns of the microtask queue: enough for a promise's consequences. */
async function settle(): Promise<void> {
  for (let i = 0; i < 8; i++) await Promise.resolve()
}

/**
 * vCPUs that submit, cancel and take; models that answer in any order; a foreign server that comes and goes. Every
 * vCPU gets the answer to its own last request, once, and every model sees each request once.
 */
async function randomTraffic(rng: Rng): Promise<string | void> {
  const completed: number[] = []
  const seen = new Map<number, number>()
  const open: Open[] = []
  const answerOf = (address: number): number => (Math.imul(address, 0x9e37_79b1) >>> 0) & 0xff
  const saw = (address: number): void => void seen.set(address, (seen.get(address) ?? 0) + 1)
  const { dispatch, host, failures, request } = makeMachine(
    { vcpus: VCPUS, onComplete: (vcpu) => completed.push(vcpu) },
    [
      defineDevice({
        name: 'synchronous',
        synchronous: true,
        ports: { base: SYNCHRONOUS, size: SPAN },
        mmio: { base: SYNCHRONOUS, size: SPAN },
        read: (offset) => answerOf(SYNCHRONOUS + offset),
      }),
      defineDevice({
        name: 'slow',
        ports: { base: SLOW, size: SPAN },
        mmio: { base: SLOW, size: SPAN },
        read(offset, _size, access) {
          saw(SLOW + offset)
          // Every fourth answers at once.
          if (offset % 4 === 0) return answerOf(SLOW + offset)
          return new Promise((resolve) => open.push({ address: SLOW + offset, access: access!, resolve }))
        },
      }),
    ],
  )

  const accepted: { server: IoreqServer; vcpu: number; address: number }[] = []
  const makeForeign = (): IoreqServer => {
    const server = dispatch.createServer({
      name: 'foreign',
      transport: {
        notify(vcpu) {
          const taken = request({})
          if (!server.slot(vcpu).accept(taken)) return
          saw(taken.addressLo)
          accepted.push({ server, vcpu, address: taken.addressLo })
        },
      },
    })
    server.mapRange(index.XEN_DMOP_IO_RANGE_PORT, FOREIGN, FOREIGN + SPAN - 1)
    server.mapRange(index.XEN_DMOP_IO_RANGE_MEMORY, FOREIGN, FOREIGN + SPAN - 1)
    server.setState(true)
    return server
  }
  let foreign: IoreqServer | null = makeForeign()

  const waiting: (Expected | null)[] = new Array<Expected | null>(VCPUS).fill(null)
  const log: string[] = []
  rng.note('steps', () => log.join('\n'))
  let serial = 0

  const wrong = (what: string): string => `${what}, after ${log.length} steps`
  const take = (vcpu: number): string | void => {
    const expected = waiting[vcpu]!
    const status = dispatch.requests.take(vcpu)
    if (status === index.STATUS_RETRY)
      return expected.completed ? wrong(`vCPU ${vcpu} was told of an answer that is not there`) : undefined
    waiting[vcpu] = null
    if (!expected.completed) return wrong(`vCPU ${vcpu} has an answer that it was not told of`)
    if (status !== (expected.ended ? index.STATUS_UNHANDLED : index.STATUS_DONE))
      return wrong(`vCPU ${vcpu} got ${STATUS[status]}`)
    const answer = expected.ended ? 0xff : expected.answer
    if (dispatch.lo !== answer) return wrong(`vCPU ${vcpu} read ${dispatch.lo} instead of ${answer}`)
  }

  const answerOne = async (): Promise<void> => {
    const total = open.length + accepted.length
    if (total === 0) return
    const which = rng.below(total)
    if (which < open.length) {
      const [one] = open.splice(which, 1)
      log.push(`slow answers ${one!.address.toString(16)}`)
      one!.resolve(answerOf(one!.address))
      await settle()
    } else {
      const [one] = accepted.splice(which - open.length, 1)
      log.push(`foreign answers ${one!.address.toString(16)}`)
      // A server that was destroyed meanwhile may still scribble into its old page.
      one!.server.slot(one!.vcpu).answer(answerOf(one!.address), 0)
      one!.server.answered(one!.vcpu)
    }
  }
  const collect = (): string | void => {
    for (const vcpu of completed.splice(0)) {
      const expected = waiting[vcpu]
      if (expected === null || expected === undefined) return wrong(`vCPU ${vcpu} was woken without waiting`)
      if (expected.completed) return wrong(`vCPU ${vcpu} was woken twice`)
      expected.completed = true
    }
  }

  for (let step = rng.between(10, 120); step > 0; step--) {
    const vcpu = rng.below(VCPUS)
    const kind = rng.below(10)
    let bad: string | void = undefined
    if (kind < 5) {
      if (waiting[vcpu] !== null) bad = take(vcpu)
      else {
        const base = rng.pick([SYNCHRONOUS, SLOW, FOREIGN, NOBODY])
        const address = base + (serial++ % SPAN)
        const port = rng.chance()
        log.push(`vCPU ${vcpu} reads ${address.toString(16)}`)
        if (rng.chance()) {
          const status = port ? dispatch.portRead(address, 1) : dispatch.mmioRead(address, 1)
          const slow = base === SLOW || (base === FOREIGN && foreign !== null)
          const expected = slow
            ? index.STATUS_RESTART
            : base === SYNCHRONOUS
              ? index.STATUS_DONE
              : index.STATUS_UNHANDLED
          if (status !== expected) bad = wrong(`a direct read at ${address.toString(16)} gave ${STATUS[status]}`)
        }
        const type = port ? index.IOREQ_TYPE_PIO : index.IOREQ_TYPE_COPY
        const status = dispatch.submit(vcpu, request({ type, direction: index.IOREQ_READ, addressLo: address }))
        if (status === index.STATUS_RETRY) {
          const server = base === FOREIGN ? foreign : null
          waiting[vcpu] = { base, address, answer: answerOf(address), server, completed: false, ended: false }
        } else {
          const nobody = base === NOBODY || (base === FOREIGN && foreign === null)
          if (status !== (nobody ? index.STATUS_UNHANDLED : index.STATUS_DONE))
            bad = wrong(`submit gave ${STATUS[status]}`)
          else if (dispatch.lo !== (nobody ? 0xff : answerOf(address))) bad = wrong(`submit read ${dispatch.lo}`)
        }
      }
    } else if (kind < 8) {
      await answerOne()
    } else if (kind === 8) {
      log.push(`vCPU ${vcpu} cancels`)
      dispatch.requests.cancel(vcpu)
      waiting[vcpu] = null
      if (dispatch.requests.has(vcpu)) bad = wrong(`vCPU ${vcpu} still waits`)
    } else if (foreign === null) {
      log.push('a foreign server is made')
      foreign = makeForeign()
    } else {
      log.push('the foreign server is destroyed')
      const dying = foreign
      foreign = null
      for (const one of waiting) if (one?.server === dying && !one.completed) one.ended = true
      dying.destroy()
    }
    bad ??= collect()
    if (bad !== undefined) return bad
  }

  while (open.length + accepted.length > 0) {
    await answerOne()
    const bad = collect()
    if (bad !== undefined) return bad
  }
  for (let vcpu = 0; vcpu < VCPUS; vcpu++) {
    if (waiting[vcpu] === null) continue
    const bad = take(vcpu)
    if (bad !== undefined) return bad
    if (waiting[vcpu] !== null) return wrong(`vCPU ${vcpu} waits for ever`)
  }
  for (const [address, times] of seen) {
    if (times > 1) return wrong(`a model saw ${address.toString(16)} ${times} times`)
  }
  for (const server of [host.server, foreign]) {
    for (let vcpu = 0; server !== null && vcpu < VCPUS; vcpu++) {
      if (server.slot(vcpu).state !== index.STATE_IOREQ_NONE) return wrong(`slot ${vcpu} of ${server.name} is not free`)
    }
  }
  if (failures.length > 0) return wrong(`a failure was reported: ${String(failures[0]!.cause)}`)
}

/** Requests, answers, cancellations and servers that come and go, in any order. */
export const soak: Soak = { name: 'ioreq', count: 5000, step: randomTraffic }
