/** Memory of models that live elsewhere: what the machine's side takes of the frames about it. */
import { describe, expect, test } from 'vitest'
import { RemoteServer, type Frame } from '../src/index.ts'
import { makeMachine } from './machine.ts'

/** A server with a memory of four pages, number 5. */
function server() {
  const machine = makeMachine({ policy: 'detach' })
  const sent: Frame[] = []
  const remote = new RemoteServer(
    machine.dispatch,
    machine.platform,
    { send: (frame) => void sent.push(frame), notify() {}, notifyBuffered() {}, close() {} },
    { name: 'far' },
  )
  remote.take({ kind: 'ownMemory', call: 0, memory: 5, device: 'far', name: 'ram', length: 4 * 4096, flags: 0 })
  return { ...machine, remote, sent }
}

describe('a part is shown', () => {
  const whole = { offset: 0, length: 4 * 4096 }
  test.each([
    { gpa: 0, ...whole, shown: '0: 4000 from 0' },
    { gpa: 0x1000, offset: 4096, length: 4096, shown: '1000: 1000 from 1000' },
    { gpa: 2 ** 52 - 4 * 4096, ...whole, shown: 'fffffffffc000: 4000 from 0' },
  ])('at $gpa', ({ gpa, offset, length, shown }) => {
    const { remote, memories } = server()
    remote.take({ kind: 'placeMemory', placement: 1, memory: 5, gpa, offset, length })
    expect([memories[0]?.placed, remote.server.alive]).toEqual([[shown], true])
    remote.close()
    expect(memories[0]?.placed).toEqual([])
  })

  test.each([
    { what: 'below 0', gpa: -4096, ...whole },
    { what: 'beyond 52 bits', gpa: 2 ** 52 - 3 * 4096, ...whole },
    { what: 'within a page', gpa: 0x1800, ...whole },
    { what: 'at no number', gpa: NaN, ...whole },
    { what: 'of nothing', gpa: 0, offset: 0, length: 0 },
    { what: 'of half a page', gpa: 0, offset: 0, length: 2048 },
    { what: 'from within a page', gpa: 0, offset: 2048, length: 4096 },
    { what: 'beyond its end', gpa: 0, offset: 4096, length: 4 * 4096 },
  ])('a server that has it shown $what has failed', ({ gpa, offset, length }) => {
    const { remote, memories, failures } = server()
    remote.take({ kind: 'placeMemory', placement: 1, memory: 5, gpa, offset, length })
    expect([memories[0]?.placed, remote.server.alive, failures.length]).toEqual([[], false, 1])
  })
})
