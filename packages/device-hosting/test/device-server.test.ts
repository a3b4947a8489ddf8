import { defineDevice, type DeviceContext } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { DeviceServer, type Frame } from '../src/index.ts'
import { makeMachine } from './machine.ts'

test('a model elsewhere that arms a timer for NaN is told so, and nothing is sent', () => {
  const sent: string[] = []
  const server = new DeviceServer({ send: ({ kind }) => void sent.push(kind), answer: () => {} })
  const model = defineDevice({ name: 'odd', attach: (context) => context.timer(() => {}).arm(NaN) })
  expect(() => server.attach(model)).toThrow(expect.objectContaining({ name: 'DeviceError', code: 'ERR_INVALID' }))
  expect(sent).not.toContain('armTimer')
})

describe('a deadline for quiescing', () => {
  const busy = defineDevice({ name: 'busy', stateless: true, quiesce: () => new Promise(() => {}) })

  test.each([NaN, -1, -Infinity])('of %d ms is refused', async (deadlineMs) => {
    const { host } = makeMachine({}, [busy])
    const expected = { name: 'DeviceError', code: 'ERR_INVALID' }
    await expect(host.quiesce(deadlineMs)).rejects.toMatchObject(expected)
    await expect(makeMachine().host.quiesce(deadlineMs)).rejects.toMatchObject(expected)
  })

  test.each([NaN, -1])('of %d ms that a hypervisor sends is refused', async (deadline) => {
    const replies: string[] = []
    const server = new DeviceServer({
      send: (frame) => void (frame.kind === 'called' && replies.push(frame.error)),
      answer: () => {},
    })
    server.attach(busy)
    server.receive({ kind: 'quiesce', call: 1, deadline })
    await new Promise((resolve) => void setTimeout(resolve, 20))
    expect(replies).toEqual([expect.stringMatching(/deadline/)])
  })

  test.each([2 ** 31, 1e308, Infinity])('of %d ms does not pass at once', async (deadlineMs) => {
    const { host } = makeMachine({}, [busy])
    const quiet = host.quiesce(deadlineMs).then(() => 'quiet')
    const later = new Promise((resolve) => void setTimeout(resolve, 20, 'still waits'))
    expect(await Promise.race([quiet, later])).toBe('still waits')
  })
})

describe('guest memory behind a link that moves it while the model waits', () => {
  const GPA = 0x3_0000
  const PIECE = 0x1_0000

  /** A model's DMA, over `ram` from `GPA` on; the link moves at most a piece at a time, and nothing beyond `ram`. */
  function make(ram: Uint8Array): { dma: DeviceContext['dma']; asked: string[] } {
    const asked: string[] = []
    const callSync = (frame: Frame): Extract<Frame, { kind: 'dmaDone' }> => {
      if (frame.kind !== 'dmaRead' && frame.kind !== 'dmaWrite') throw new Error(frame.kind)
      const length = frame.kind === 'dmaRead' ? frame.length : frame.bytes.length
      const at = frame.gpa - GPA
      asked.push(`${at} ${length}`)
      const none = new Uint8Array(0)
      if (at + length > ram.length) return { kind: 'dmaDone', call: frame.call, ok: false, bytes: none }
      if (frame.kind === 'dmaWrite') ram.set(frame.bytes, at)
      const bytes = frame.kind === 'dmaRead' ? ram.slice(at, at + length) : none
      return { kind: 'dmaDone', call: frame.call, ok: true, bytes }
    }
    let dma: DeviceContext['dma'] | undefined
    const server = new DeviceServer({ send: () => {}, answer: () => {}, callSync })
    server.attach(defineDevice({ name: 'dma', attach: (context) => void (dma = context.dma) }))
    return { dma: dma!, asked }
  }
  const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i % 251)

  test('is read and written in pieces', () => {
    const ram = pattern(3 * PIECE)
    const { dma, asked } = make(ram)
    const into = new Uint8Array(2 * PIECE + 5)
    expect(dma.read(GPA + 3, into)).toBe(true)
    expect(Buffer.compare(into, ram.subarray(3, 3 + into.length))).toBe(0)
    expect(dma.write(GPA, into)).toBe(true)
    expect(Buffer.compare(into, ram.subarray(0, into.length))).toBe(0)
    const rest = 2 * PIECE
    expect(asked).toEqual([
      ...[`3 ${PIECE}`, `${PIECE + 3} ${PIECE}`, `${rest + 3} 5`],
      ...[`0 ${PIECE}`, `${PIECE} ${PIECE}`, `${rest} 5`],
    ])
  })

  test('that is not there ends the transfer, and no more is asked for', () => {
    const { dma, asked } = make(pattern(PIECE))
    expect([dma.read(GPA, new Uint8Array(3 * PIECE)), dma.write(GPA, new Uint8Array(3 * PIECE))]).toEqual([
      false,
      false,
    ])
    expect(asked).toEqual([`0 ${PIECE}`, `${PIECE} ${PIECE}`, `0 ${PIECE}`, `${PIECE} ${PIECE}`])
  })
})
