/** Sockets that machines arrive at. */
import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createConnection, createServer } from 'node:net'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeEach, expect, test } from 'vitest'
import type { SessionOutput } from '../../src/machine/session/session-host.ts'
import { awaitSource, connectTo, listen } from '../../src/machine/migration/socket-channel.ts'

let folder = ''
beforeEach(() => (folder = temporaryFolder('channel')))

test('a file in the place of a socket is not taken for one, and stays', async () => {
  const path = join(folder, 'disk.img')
  writeFileSync(path, 'a disk')
  await expect(listen(createServer(), { path })).rejects.toMatchObject({ code: 'ERR_INPUT' })
  expect(readFileSync(path, 'utf8')).toBe('a disk')
})

test('a socket for machines is its user’s alone', async () => {
  const address = { kind: 'unix', path: join(folder, 'incoming') } as const
  const mode = Promise.withResolvers<number>()
  const stderr = { write: () => mode.resolve(statSync(address.path).mode & 0o777) } as unknown as SessionOutput
  const before = process.umask(0)
  const arriving = awaitSource(address, stderr)
  expect((await mode.promise).toString(8)).toBe('600')
  process.umask(before)
  const channel = await connectTo(address)
  channel.close()
  ;(await arriving).close()
})

test('who has come and proved nothing is not kept waiting when a machine has been found', async () => {
  const secretFile = join(folder, 'secret')
  writeFileSync(secretFile, 'a secret that both sides know, and nobody else', { mode: 0o600 })
  const free = createServer().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const { port } = free.address() as AddressInfo
  free.close()
  await once(free, 'close')
  const address = { kind: 'tcp', host: '127.0.0.1', port, secretFile } as const
  const listening = Promise.withResolvers<void>()
  const arriving = awaitSource(address, { write: () => listening.resolve() } as unknown as SessionOutput)
  await listening.promise
  const silent = createConnection(port, '127.0.0.1')
  silent.on('error', () => {})
  const ended = new Promise((resolve) => silent.resume().on('close', resolve))
  await once(silent, 'data')
  const channel = await connectTo(address)
  ;(await arriving).close()
  await ended
  channel.close()
})
