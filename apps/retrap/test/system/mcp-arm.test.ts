/** `retrap mcp` with Debian on an Arm board that has a network: the agent, a forward, forks, and what there is not. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { startMcp } from '../support/mcp-client.ts'

/** The host may be busy. */
const DEADLINE_MS = 300_000
const linux = await linuxWith([], '')

test.runIf(linux !== undefined)(
  `a guest for arm64 reaches the host, is reached, and forked${skipNote(linux !== undefined, 'there is no apt')}`,
  async () => {
    const host = createServer((_, response) => response.end('of the host\n')).listen(0, '127.0.0.1')
    await once(host, 'listening')
    const url = `http://10.0.2.2:${(host.address() as AddressInfo).port}/`
    const { client, call } = await startMcp(['--allow-network'], DEADLINE_MS)
    const exec = async (machine: string, command: string) =>
      (await call('exec', { machine, command, timeoutSeconds: 250 })).data
    try {
      const booted = await call('boot', {
        ...{ system: 'debian', board: 'virt', nic: 'user,mac=52:54:00:ab:cd:ef', name: 'arm', timeoutSeconds: 280 },
      })
      expect(booted.text).toMatch(/\n\/ # .*\narm stands still$/s)
      // Its time is the host's, as the lease comes by itself.
      const leased = 'until ip addr show eth0 | grep -q "inet 10.0.2.15"; do sleep 0.1; done'
      expect(await exec('arm', `${leased}; uname -m; cat /sys/class/net/eth0/address; wget -qO- ${url}`)).toMatchObject(
        { stdout: 'aarch64\n52:54:00:ab:cd:ef\nof the host\n' },
      )
      await exec('arm', 'echo served >/tmp/index.html; httpd -p 127.0.0.1:80 -h /tmp')
      const { data } = await call('forward', { machine: 'arm', port: 80, timeoutSeconds: 250 })
      const served = await fetch(`http://127.0.0.1:${String(data['port'])}/index.html`)
      expect(await served.text()).toBe('served\n')
      // The process that has served ends first; an idle guest is in its kernel.
      const registers = async () => (await call('registers', { machine: 'arm' })).data
      await expect.poll(registers, { timeout: DEADLINE_MS }).toMatchObject({
        pc: expect.stringMatching(/^0xffff/),
        VBAR_EL1: expect.stringMatching(/^0xffff[\da-f]{9}800$/),
      })

      expect((await call('fork', { machine: 'arm', name: 'twin' })).text).toMatch(/\ntwin stands still$/)
      expect(await exec('twin', 'cat /tmp/index.html; echo twin >/tmp/index.html')).toMatchObject({
        stdout: 'served\n',
      })
      // Nobody is at its cable.
      expect(await exec('twin', 'ping -c 1 -W 1 10.0.2.2')).toMatchObject({ exitCode: 1 })
      await call('fork', { machine: 'twin', name: 'third' })
      expect(await exec('third', 'cat /tmp/index.html')).toMatchObject({ stdout: 'twin\n' })
      expect(await exec('arm', 'cat /tmp/index.html')).toMatchObject({ stdout: 'served\n' })
      for (const [tool, given, why] of [
        ['go_to', { instruction: 5 }, 'not recorded'],
        ['who_wrote', { address: '0x40000000' }, 'not recorded'],
        ['press_keys', { text: 'a' }, 'an Arm board'],
      ] as const)
        expect((await call(tool, { machine: 'arm', ...given })).text).toContain(`ERR_STATE: arm is ${why}`)
      expect((await call('fork', { machine: 'arm', record: true })).text).toContain(', forked from arm, recorded, ')
    } finally {
      await client.close()
      host.close()
    }
  },
  4 * DEADLINE_MS,
)
