/** Clients of gdb's port that are none, and that do not read. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { framePacket, type GdbTarget, x86Registers } from '@retrap/gdb'
import { OwnTime } from '@retrap/tooling/processor-time'
import { afterEach, expect, test } from 'vitest'
import type { SessionOutput } from '../../src/machine/session/session-host.ts'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import { SessionGdb } from '../../src/machine/gdb/session-gdb.ts'

const sockets: Socket[] = []
afterEach(() => sockets.splice(0).forEach((socket) => socket.destroy()))

/** gdb's port of a machine that stands still, and a client of it. @returns also what has been written to the machine */
async function attached(): Promise<{ gdb: SessionGdb; client: Socket; written: bigint[] }> {
  const written: bigint[] = []
  const target = {
    registers: x86Registers(64),
    cpus: 1,
    isStopped: true,
    lastStop: { cpu: 0, signal: 2 },
    stop: () => {},
    onStop: () => {},
    detach: () => {},
    monitor: async () => 'x'.repeat(1 << 20),
    writeMemory: (_cpu: number, address: bigint, bytes: Uint8Array) => {
      written.push(address)
      return bytes.length
    },
  } as unknown as GdbTarget
  const gdb = new SessionGdb({ host: '127.0.0.1', port: 0, wait: false })
  let said = ''
  await gdb.open({ write: (text: string) => (said += text) } as unknown as SessionOutput, () => {})
  await gdb.adopt({ gdbTarget: async () => target } as unknown as Machine)
  const client = connect(Number(/:(\d+)'/.exec(said)![1]), '127.0.0.1')
  sockets.push(client)
  await once(client, 'connect')
  return { gdb, client, written }
}

test('a web page’s request changes nothing', async () => {
  const { gdb, client, written } = await attached()
  const page = `POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
  client.on('error', () => {}).resume()
  client.write(Buffer.concat([Buffer.from(page), framePacket('M1000,1:ff')]))
  await once(client, 'close')
  expect(written).toEqual([])
  await gdb.close()
})

test('the end of a session does not wait for a client that does not read', async () => {
  const { gdb, client } = await attached()
  client.on('error', () => {}).pause()
  // Each has its answer before the next one comes; together they are more than the host's sockets hold.
  for (let i = 0; i < 5; i++) {
    client.write(framePacket(`qRcmd,${Buffer.from('devices').toString('hex')}`))
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const time = new OwnTime()
  await gdb.close()
  expect(time.milliseconds()).toBeLessThan(5000)
})
