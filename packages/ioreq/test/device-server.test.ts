import { defineDevice } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { DeviceServer } from '../src/index.ts'
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
