/** `retrap mcp` with Debian: commands by the agent, forks, and the screen of a disk without a system. */
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { startMcp } from '../support/mcp-client.ts'

/** The host may be busy. */
const DEADLINE_MS = 300_000
const linux = await linuxWith([], '')

test.runIf(linux !== undefined)(
  `commands run in Debian, in its forks, and where it was kept${skipNote(linux !== undefined, 'there is no apt')}`,
  async () => {
    const folder = temporaryFolder('mcp-test')
    const disk = join(folder, 'blank.img')
    writeFileSync(disk, '')
    truncateSync(disk, 1 << 20)
    const { client, call } = await startMcp(['--folder', folder], DEADLINE_MS)
    const exec = async (machine: string, command: string, more: Record<string, unknown> = {}) =>
      call('exec', { machine, command, timeoutSeconds: 250, ...more })
    try {
      expect((await call('boot', { system: 'debian', name: 'deb', timeoutSeconds: 280 })).text).toContain('\n/ # ')
      const { data } = await exec('deb', 'uname -s; cat; echo no >&2; exit 3', { stdin: 'typed' })
      expect(data).toEqual({ exitCode: 3, signal: null, stdout: 'Linux\ntyped', stderr: 'no\n' })
      await call('checkpoint', { machine: 'deb' })
      await exec('deb', 'echo later >/tmp/a; echo gone >/tmp/gone')
      expect((await call('fork', { machine: 'deb', name: 'twin' })).isError).toBe(false)
      expect((await exec('twin', 'cat /tmp/a; echo twin >/tmp/a')).data).toMatchObject({ stdout: 'later\n' })
      expect((await exec('deb', 'cat /tmp/a')).data).toMatchObject({ stdout: 'later\n' })
      await exec('twin', 'mkdir /tmp/new; ln -s a /tmp/new/link; rm /tmp/gone; sleep 600 >/dev/null 2>&1 &')
      const { data: differences } = await call('diff', { machine: 'deb', other: 'twin', timeoutSeconds: 250 })
      expect(differences).toEqual({
        'files added': ['/tmp/new', '/tmp/new/link'],
        'files changed': expect.arrayContaining(['/tmp/a']),
        'files removed': ['/tmp/gone'],
        'processes added': [expect.stringMatching(/^\d+ \(sleep\)$/)],
        'processes changed': [],
        'processes removed': [],
      })
      // On a busy host the guest may need more than the second that the tool waits for its refusal.
      const early = async (): Promise<string> => {
        const { text, data: opened } = await call('forward', { machine: 'deb', port: 81, timeoutSeconds: 250 })
        await call('close_forward', { machine: 'deb', hostPort: opened['port'] })
        return text
      }
      await expect.poll(early).toMatch(/\nNothing accepts connections there yet: port 81 of the guest: .*refused/)
      await exec('deb', 'echo served >/tmp/index.html; httpd -p 127.0.0.1:80 -h /tmp')
      const { data: forward } = await call('forward', { machine: 'deb', port: 80, timeoutSeconds: 250 })
      const served = await fetch(`http://127.0.0.1:${String(forward['port'])}/index.html`)
      expect(await served.text()).toBe('served\n')
      expect((await exec('deb', 'cat /tmp/a')).text).toMatch(/\ndeb runs in the background, with 1 forward$/)
      expect((await call('reset', { machine: 'deb' })).text).toMatch(/\nClosed: 127\.0\.0\.1:\d+\ndeb stands still$/)
      expect((await exec('deb', 'ls /tmp/a')).data).toMatchObject({ exitCode: 1 })

      // A command that does not end, one that prints without end, and what that has printed.
      const late = await exec('twin', 'while :; do :; done', { timeoutSeconds: 1 })
      expect(late).toMatchObject({ isError: true, text: expect.stringMatching(/^ERR_GUEST: .*longer than/) })
      const flood = await exec('twin', 'yes', { maxOutputBytes: 4096 })
      expect(flood).toMatchObject({
        isError: true,
        text: expect.stringMatching(/^ERR_GUEST: .*more than 4096 bytes.*\ny\ny/s),
      })
      const cancel = new AbortController()
      const cancelled = call(
        'exec',
        { machine: 'twin', command: 'sleep 1; echo $$; while :; do :; done' },
        cancel.signal,
      )
      setTimeout(() => cancel.abort(), 500)
      await expect(cancelled).rejects.toThrow()
      expect((await exec('twin', 'ps | grep -c "[w]hile"')).data).toMatchObject({ stdout: '0\n' })

      const recorded = await call('fork', { machine: 'deb', name: 'seen', record: true, timeoutSeconds: 250 })
      expect(recorded.text).toContain('recorded')
      expect((await exec('seen', 'echo $((6 * 7))')).data).toMatchObject({ stdout: '42\n' })
      expect((await call('go_to', { machine: 'seen', instruction: 1000, timeoutSeconds: 250 })).text).toContain(
        'past at instruction 1000',
      )
      expect((await exec('seen', 'echo back')).data).toMatchObject({ stdout: 'back\n' })
      await call('stop', { machine: 'seen' })

      await call('boot', { system: 'files', disks: ['blank.img'], name: 'disk', memory: '32M', timeoutSeconds: 280 })
      await call('wait_for', { machine: 'disk', text: 'No bootable device', timeoutSeconds: 250 })
      const { picture } = await call('screenshot', { machine: 'disk' })
      // PNG, 720 by 400: the text mode of a VGA.
      expect([...picture!.subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47])
      const view = new DataView(picture!.buffer, picture!.byteOffset)
      expect([view.getUint32(16), view.getUint32(20)]).toEqual([720, 400])
    } finally {
      await client.close()
    }
  },
  4 * DEADLINE_MS,
)
