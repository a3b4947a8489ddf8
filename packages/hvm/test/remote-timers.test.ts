/** Timers of device models that live elsewhere, while the guest sleeps. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineDevice } from '@retrap/device'
import { connectDeviceServer, serveDevices } from '@retrap/device-hosting/node'
import { expect, test } from 'vitest'
import { Guest, realClock } from './support/guest.ts'

test('one that is set while every vCPU is halted goes off', async () => {
  const clock = realClock()
  const guest = new Guest((asm) => asm.hlt(), { clock })
  const { domain } = guest
  const address = { path: join(tmpdir(), `retrap-timers-${process.pid}.sock`) }
  let rounds = 0
  const service = await serveDevices({ address }, (server) =>
    server.attach(
      defineDevice({
        name: 'ticker',
        attach(context) {
          const timer = context.timer(() => {
            // Set anew by a frame, and by nothing that the guest would notice.
            if (++rounds === 3) context.requestExit(7)
            else timer.arm(context.clock.now() + 1_000_000)
          })
          timer.arm(context.clock.now() + 1_000_000)
        },
      }),
    ),
  )
  domain.addServer(await connectDeviceServer(domain.dispatch, domain.platform, { address, name: 'far' }))
  const began = clock.now()
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 7 })
  // The test's sleeper looks again by itself after five seconds.
  expect(clock.now() - began).toBeLessThan(4e9)
  await service.close()
})
