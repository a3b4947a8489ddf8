import { describe, expect, test } from 'vitest'
import { type DeviceContext, Instant, LateAnswers } from '../src/index.ts'
import { TimerQueue } from '../src/host/index.ts'

/** A host whose answers the test gives, and a guest that takes them. */
class Rig {
  readonly now = new Instant()
  readonly timers = new TimerQueue({
    now: () => this.now.toNumber(),
    read: (into) => void Object.assign(into, this.now.save()),
  })
  readonly asked = new Map<string, PromiseWithResolvers<string>>()
  readonly aborted: string[] = []
  /** What the guest has taken, each with its virtual time. */
  readonly answers: string[] = []
  /** What the machine waits for. */
  readonly waits: Promise<void>[] = []
  allowed = true
  realTime = false
  onAnswer: (request: string) => void = () => {}
  readonly late: LateAnswers<string, string>

  constructor() {
    const clock = { now: () => this.now.toNumber(), read: (into: Instant) => void Object.assign(into, this.now.save()) }
    Object.defineProperty(clock, 'realTime', { get: () => this.realTime })
    const context = {
      clock,
      timer: (callback: (ns: number, at: Instant) => void | Promise<void>) =>
        this.timers.create((ns, at) => {
          const wait = callback(ns, at as Instant)
          if (wait === undefined) return
          this.waits.push(wait)
          wait.catch(() => {})
        }),
    } as unknown as DeviceContext
    this.late = new LateAnswers<string, string>(context, {
      ask: (request, signal) => {
        const answer = Promise.withResolvers<string>()
        this.asked.set(request, answer)
        signal.addEventListener('abort', () => this.aborted.push(request))
        return answer.promise
      },
      answer: (request, answer) => {
        this.answers.push(`${request}=${answer}@${this.now.toNumber()}`)
        this.onAnswer(request)
      },
      mayAnswer: () => this.allowed,
    })
  }

  async host(request: string, answer: string | Error = 'ok'): Promise<void> {
    const { resolve, reject } = this.asked.get(request)!
    if (answer instanceof Error) reject(answer)
    else resolve(answer)
    await settle()
  }

  to(ns: number): void {
    while (this.timers.nextDeadlineNs <= ns) {
      this.now.set(Instant.from(Math.max(this.timers.nextDeadlineNs, this.now.toNumber())))
      this.timers.expire()
    }
    this.now.set(Instant.from(ns))
  }
}

const settle = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 1))
const pending = async (promise: Promise<void>): Promise<boolean> =>
  Promise.race([promise.then(() => false), settle().then(() => true)])

describe('late answers', () => {
  test('take effect at the instant that was fixed when the request was made', async () => {
    const rig = new Rig()
    rig.late.start('a')
    await rig.host('a')
    expect(rig.answers).toEqual([])
    rig.to(50_000)
    expect(rig.answers).toEqual(['a=ok@20000'])
    expect(rig.waits).toEqual([])
  })

  test('take effect in one look at the timers, where several are due: a model elsewhere has no other before the guest goes on', async () => {
    const rig = new Rig()
    rig.late.start('a')
    rig.late.start('b')
    await rig.host('a')
    await rig.host('b')
    rig.now.set(Instant.from(25_000))
    expect(rig.timers.expire()).toBe(1)
    expect(rig.answers).toEqual(['a=ok@25000', 'b=ok@25000'])
  })

  test('have the machine wait for a host that is later', async () => {
    const rig = new Rig()
    rig.late.start('a')
    rig.to(20_000)
    expect(await pending(rig.waits[0]!)).toBe(true)
    await rig.host('a')
    expect(rig.answers).toEqual(['a=ok@20000'])
    expect(await pending(rig.waits[0]!)).toBe(false)
  })

  test('of requests of one instant come in the order of the requests, each at its own', async () => {
    const rig = new Rig()
    for (const request of ['a', 'b', 'c']) rig.late.start(request)
    rig.late.start('soon', 5)
    rig.late.start('soon too', 5)
    for (const request of ['soon too', 'c', 'b', 'soon', 'a']) await rig.host(request)
    rig.to(50_000)
    expect(rig.answers).toEqual(['soon=ok@5', 'soon too=ok@6', 'a=ok@20000', 'b=ok@20001', 'c=ok@20002'])
  })

  test('wait for those of another latency that have the next instants', async () => {
    const rig = new Rig()
    rig.late.start('a', 10)
    rig.late.start('c', 12)
    rig.late.start('b', 10)
    rig.late.start('d', 10)
    expect(rig.late.save().map(({ request, deadline }) => [request, deadline.lo])).toEqual([
      ['a', 10],
      ['b', 11],
      ['c', 12],
      ['d', 13],
    ])
  })

  test.each([
    { time: 'deterministic', realTime: false, answers: ['a=ok@30000', 'b=ok@30000'] },
    { time: 'the host’s', realTime: true, answers: ['b=ok@30000', 'a=ok@30000'] },
  ])('of a host that is over time come in the order of $time time', async ({ realTime, answers }) => {
    const rig = new Rig()
    rig.realTime = realTime
    rig.late.start('a')
    rig.late.start('b')
    rig.to(30_000)
    await rig.host('b')
    await rig.host('a')
    expect(rig.answers).toEqual(answers)
    expect(await pending(Promise.all(rig.waits).then(() => undefined))).toBe(false)
  })

  test('that the machine waits for when it comes to rest are given before', async () => {
    const rig = new Rig()
    rig.late.start('a')
    rig.late.start('b')
    rig.to(30_000)
    const paused = rig.late.pause()
    await rig.host('b')
    await rig.host('a')
    expect(await pending(paused)).toBe(false)
    expect([rig.answers, rig.late.save()]).toEqual([['a=ok@30000', 'b=ok@30000'], []])
  })

  test('that come while nothing may be given are none that the machine waits for', async () => {
    const rig = new Rig()
    rig.late.start('a')
    rig.late.start('b')
    rig.to(30_000)
    await rig.host('b')
    rig.allowed = false
    await rig.host('a')
    expect(await pending(Promise.all(rig.waits).then(() => undefined))).toBe(false)
    expect(rig.answers).toEqual([])
  })

  test('are held back while the guest does not let the function reach memory', async () => {
    const rig = new Rig()
    rig.allowed = false
    rig.late.start('a')
    rig.to(20_000)
    await rig.host('a')
    // The host is done: the machine need not wait.
    expect(await pending(rig.waits[0]!)).toBe(false)
    rig.late.proceed()
    expect(rig.answers).toEqual([])
    rig.allowed = true
    rig.late.proceed()
    expect(rig.answers).toEqual(['a=ok@20000'])
  })

  test('may start further requests, and cancel', async () => {
    const rig = new Rig()
    rig.onAnswer = (request) => {
      if (request === 'a') rig.late.start('next')
      if (request === 'b') rig.late.cancel()
    }
    for (const request of ['a', 'b', 'c']) rig.late.start(request)
    for (const request of ['a', 'b', 'c']) await rig.host(request)
    rig.to(20_001)
    expect(rig.answers).toEqual(['a=ok@20000', 'b=ok@20001'])
    expect(rig.late.count).toBe(0)
  })
})

describe('a request that is cancelled', () => {
  test('is not answered, and the machine does not wait for it', async () => {
    const rig = new Rig()
    rig.late.start('a')
    rig.to(20_000)
    rig.late.cancel()
    expect(rig.aborted).toEqual(['a'])
    expect(await pending(rig.waits[0]!)).toBe(false)
    await rig.host('a')
    rig.to(100_000)
    expect(rig.answers).toEqual([])
  })

  test('delays what follows until the host has ended it', async () => {
    const rig = new Rig()
    rig.late.start('a')
    rig.late.cancel()
    rig.late.start('b')
    await settle()
    expect([...rig.asked.keys()]).toEqual(['a'])
    expect(rig.late.busy).toBe(true)
    await rig.host('a', new Error('aborted'))
    expect([...rig.asked.keys()]).toEqual(['a', 'b'])
  })

  test('before the host was asked never reaches it', async () => {
    const rig = new Rig()
    rig.late.start('a')
    rig.late.cancel()
    rig.late.start('b')
    rig.late.cancel()
    await rig.host('a')
    expect([...rig.asked.keys()]).toEqual(['a'])
    await rig.late.ended()
    expect(rig.late.busy).toBe(false)
  })
})

describe('a model fails', () => {
  test('with an answer that was held back: the caller is told', async () => {
    const rig = new Rig()
    rig.allowed = false
    rig.late.start('a')
    rig.to(20_000)
    await rig.host('a')
    rig.allowed = true
    rig.onAnswer = () => {
      throw new Error('broken')
    }
    expect(() => rig.late.proceed()).toThrow('broken')
  })

  test('where the host rejects', async () => {
    const rig = new Rig()
    rig.late.start('a')
    rig.to(20_000)
    await rig.host('a', new Error('broken'))
    await expect(rig.waits[0]).rejects.toThrow('broken')
    rig.late.start('b')
    await rig.host('b', new Error('broken too'))
    expect(() => rig.to(50_000)).toThrow('broken too')
  })

  test('where the answer cannot be taken', async () => {
    const rig = new Rig()
    rig.onAnswer = () => {
      throw new Error('no room')
    }
    rig.late.start('a')
    rig.to(20_000)
    await rig.host('a')
    await expect(rig.waits[0]).rejects.toThrow('no room')
  })
})

describe('a machine at rest', () => {
  test('has no answers until it goes on', async () => {
    const rig = new Rig()
    rig.late.start('a')
    const paused = rig.late.pause()
    expect(await pending(paused)).toBe(true)
    rig.to(20_000)
    await rig.host('a')
    expect(await pending(paused)).toBe(false)
    expect(rig.answers).toEqual([])
    rig.late.resume()
    expect(rig.answers).toEqual(['a=ok@20000'])
  })

  test('may have all answers at once', async () => {
    const rig = new Rig()
    for (const request of ['a', 'b']) rig.late.start(request)
    let other = (): void => {}
    rig.late.hold(new Promise((resolve) => (other = resolve)))
    const settled = rig.late.settle()
    await rig.host('b')
    await rig.host('a')
    expect(rig.answers).toEqual(['a=ok@0', 'b=ok@0'])
    expect(await pending(settled)).toBe(true)
    other()
    expect(await pending(settled)).toBe(false)
    expect(rig.timers.nextDeadlineNs).toBe(Infinity)
  })

  test('saves what was asked, and asks again for what the host had not answered', async () => {
    const rig = new Rig()
    rig.late.start('a')
    rig.late.start('b')
    await rig.host('a', 'first')
    const saved = rig.late.save()
    expect(saved).toEqual([
      { request: 'a', answer: 'first', deadline: { lo: 20_000, hi: 0 } },
      { request: 'b', deadline: { lo: 20_001, hi: 0 } },
    ])
    const copy = new Rig()
    copy.late.restore(saved)
    expect([...copy.asked.keys()]).toEqual(['b'])
    await copy.host('b', 'second')
    copy.to(30_000)
    expect(copy.answers).toEqual(['a=first@20000', 'b=second@20001'])
  })

  test('that was set back in time does not wait for instants of before', async () => {
    const rig = new Rig()
    rig.late.start('a')
    const saved = rig.late.save()
    rig.to(10_000_000)
    rig.late.start('later')
    rig.now.set(Instant.from(0))
    rig.late.restore(saved)
    rig.late.start('b')
    expect(rig.late.save().map(({ deadline }) => deadline.lo)).toEqual([20_000, 20_001])
  })

  test('of many requests are all cancelled, and a later request is not', async () => {
    const rig = new Rig()
    const names = Array.from({ length: 150 }, (_, i) => `${i}`)
    for (const name of names) rig.late.start(name)
    rig.late.cancel()
    expect(rig.aborted).toEqual(names)
    rig.late.start('later')
    for (const name of names) rig.asked.get(name)!.resolve('ok')
    await settle()
    await rig.host('later')
    rig.to(50_000)
    expect(rig.answers).toEqual(['later=ok@20000'])
    expect(rig.aborted).toEqual(names)
  })
})

test('a request need not wait where time is the host’s, the guest may be answered, and nothing cancelled is under way', async () => {
  const rig = new Rig()
  expect(rig.late.mayAnswerAtOnce).toBe(false)
  rig.realTime = true
  expect(rig.late.mayAnswerAtOnce).toBe(true)
  rig.allowed = false
  expect(rig.late.mayAnswerAtOnce).toBe(false)
  rig.allowed = true
  rig.late.start('a')
  expect(rig.late.mayAnswerAtOnce).toBe(true)
  rig.late.cancel()
  expect(rig.late.mayAnswerAtOnce).toBe(false)
  await rig.host('a')
  expect(rig.late.mayAnswerAtOnce).toBe(true)
  await rig.late.pause()
  expect(rig.late.mayAnswerAtOnce).toBe(false)
  rig.late.resume()
  expect(rig.late.mayAnswerAtOnce).toBe(true)
})
