/** Models elsewhere that the deterministic time of a domain waits for, and that do not say when they have done. */
import { RemoteServer, type Frame } from '@retrap/device-hosting'
import { STATE_IORESP_READY } from '@retrap/ioreq'
import { expect, test } from 'vitest'
import { EXIT_PORT, Guest } from './support/guest.ts'
import { al, type Assembler } from '@retrap/x86-assembler'

const off = (asm: Assembler): void => void asm.mov(al, 0).out(EXIT_PORT, al).hlt()

/** A domain on deterministic time whose server has been told something and is waited for. */
function waiting(deviceDeadlineMs?: number) {
  const guest = new Guest(off, { policy: 'detach', ...(deviceDeadlineMs !== undefined && { deviceDeadlineMs }) })
  const { domain } = guest
  const sent: Frame[] = []
  const remote = new RemoteServer(
    domain.dispatch,
    domain.platform,
    { send: (frame) => void sent.push(frame), notify() {}, notifyBuffered() {}, close() {} },
    { name: 'silent' },
  )
  domain.addServer({ remote, close: () => remote.close() })
  remote.take({ kind: 'ready', name: 'silent' })
  remote.post(new Uint8Array(1))
  const settles = (): Frame[] => sent.filter(({ kind }) => kind === 'settle')
  return { guest, domain, remote, settles }
}

test('a run that waits for them can be stopped; the next one waits for the same reply', async () => {
  const { guest, domain, remote, settles } = waiting()
  for (let i = 0; i < 2; i++) {
    setTimeout(() => domain.stop({ reason: 'stopped' }), 10)
    expect(await guest.run()).toEqual({ reason: 'stopped' })
    expect(settles()).toHaveLength(1)
  }
  setTimeout(() => remote.take({ kind: 'called', call: 1, error: '', result: '' }), 10)
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
  remote.close()
})

test('a server that takes longer than the devices’ deadline has failed', async () => {
  const { guest } = waiting(20)
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
  expect(guest.failures.map(({ cause }) => String(cause))).toEqual([
    'IoreqError: its models have not settled within 20 ms',
  ])
})

test('a stopped domain has no deadline for them', async () => {
  const { guest, domain, remote } = waiting(60)
  setTimeout(() => domain.stop({ reason: 'stopped' }), 20)
  expect(await guest.run()).toEqual({ reason: 'stopped' })
  await new Promise((resolve) => setTimeout(resolve, 120))
  expect(guest.failures).toEqual([])
  remote.close()
})

test('a machine that models stop while their answers are looked for executes nothing more', async () => {
  const guest = new Guest((asm) => asm.out(0x80, al).nop().hlt())
  const { domain } = guest
  let asked = false
  const remote = new RemoteServer(
    domain.dispatch,
    domain.platform,
    {
      send() {},
      notifyBuffered() {},
      close() {},
      notify: () => {
        asked = true
        // It is for the loop to find that there is an answer.
        setImmediate(() => guest.sleeper.wake())
      },
    },
    { name: 'silent' },
  )
  const { server } = remote
  const pump = (): void => {
    // Not before the vCPU waits.
    if (!asked || !domain.dispatch.requests.unanswered(0)) return
    asked = false
    remote.take({ kind: 'powerOff' })
    server.slot(0).state = STATE_IORESP_READY
    server.answered(0)
  }
  domain.addServer({ remote, pump, close: () => remote.close() })
  remote.take({ kind: 'claim', type: 0, ranges: [[0x80, 0x80]], buffered: [] })
  remote.take({ kind: 'ready', name: 'silent' })
  expect(await guest.run()).toEqual({ reason: 'power-off' })
  expect(guest.domain.vcpus[0]!.cpu.retired).toBe(1)
  remote.close()
})
