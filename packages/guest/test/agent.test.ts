/** The agent itself, in shells of this host. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test, vi } from 'vitest'
import { connectGuest, type Guest } from '@retrap/guest'
import { encodeRequest } from '../src/lines.ts'
import { localAgent, type LocalAgent } from './support/local-agent.ts'
import { shellsOf } from './support/shells.ts'

const MIB = 1 << 20
const scratch = temporaryFolder('guest')
const shells = await shellsOf(scratch)

describe.each(shells)('in $name', ({ command, env: own }) => {
  async function withAgent(action: (guest: Guest, agent: LocalAgent) => Promise<void>): Promise<void> {
    const agent = localAgent(command, own)
    const guest = await connectGuest(agent)
    await action(guest, agent)
    guest.close()
    await agent.end()
  }

  test("the guest's clock is set by its program", () =>
    withAgent(async (guest) => {
      // Here it would be this host's clock, since a shell may have a `date` of its own: `npm run -s soak -- generation` sets a guest's.
      const none = {
        stdout: '',
        stderr: '',
        stdoutBytes: new Uint8Array(),
        stderrBytes: new Uint8Array(),
        signal: null,
      }
      const exec = vi.spyOn(guest, 'exec').mockImplementation(async (text) => {
        return text.endsWith('@7') ? { ...none, exitCode: 1, stderr: 'not you\n' } : { ...none, exitCode: 0 }
      })
      await guest.setTime(1_800_000_000)
      const refused = { code: 'ERR_GUEST_TIME', message: "the guest's clock cannot be set: not you" }
      await expect(guest.setTime(7)).rejects.toMatchObject(refused)
      await expect(guest.setTime(1.5)).rejects.toMatchObject({ code: 'ERR_GUEST_OPTION' })
      expect(exec.mock.calls).toEqual([['date -u -s @1800000000'], ['date -u -s @7']])
    }))

  test('commands have input, outputs, and an end', () =>
    withAgent(async (guest) => {
      await guest.ping()
      const results = [
        await guest.exec('cat; echo "it\'s \\\\ $((6 * 7))"; echo é >&2; exit 3', { stdin: 'typed\n' }),
        await guest.exec('read line; echo "<$line>"'),
        await guest.exec('kill -9 $$'),
        await guest.exec(''),
        await guest.exec('no-such-command-here'),
        await guest.exec(`printf %s '${'long '.repeat(1000)}' | wc -c`),
        await guest.exec('echo staged >/dev/stdout'),
      ]
      expect(results.map(({ exitCode, signal, stdout, stderr }) => [exitCode, signal, stdout, stderr])).toEqual([
        [3, null, "typed\nit's \\ 42\n", 'é\n'],
        [0, null, '<>\n', ''],
        [137, 'SIGKILL', '', ''],
        [0, null, '', ''],
        [127, null, '', expect.stringContaining('not found')],
        [0, null, '5000\n', ''],
        [0, null, 'staged\n', ''],
      ])
    }))

  test('outputs of any length come whole, while the command runs', () =>
    withAgent(async (guest) => {
      let first = ''
      const { stdoutBytes, stderrBytes } = await guest.exec(
        'echo begun; head -c 100000 /dev/zero; sleep 0.5; head -c 24000 /dev/zero >&2',
        { onStdout: (bytes) => (first ||= Buffer.from(bytes.subarray(0, 6)).toString()) },
      )
      expect([first, stdoutBytes.length, stderrBytes.length]).toEqual(['begun\n', 100_006, 24_000])
    }))

  test('a command that hangs is ended with all that it has started, even if it does not listen', () =>
    withAgent(async (guest) => {
      const hanging = 'trap "" TERM; echo begun; sleep 1000 & while :; do sleep 1; done'
      await expect(guest.exec(`echo $$ >'${scratch}/pid'; ${hanging}`, { timeoutMs: 400 })).rejects.toMatchObject({
        code: 'ERR_GUEST_TIMEOUT',
        output: { stdout: new Uint8Array(Buffer.from('begun\n')) },
      })
      const group = Number(readFileSync(join(scratch, 'pid'), 'utf8'))
      await expect.poll(() => isAlive(-group)).toBe(false)
    }))

  test('a command that prints too much is ended, and fills nothing', () =>
    withAgent(async (guest) => {
      await expect(guest.exec(`echo $$ >'${scratch}/pid'; yes`, { maxOutputBytes: 50_000 })).rejects.toMatchObject({
        code: 'ERR_GUEST_OUTPUT',
      })
      const group = Number(readFileSync(join(scratch, 'pid'), 'utf8'))
      await expect.poll(() => isAlive(-group)).toBe(false)
      const { stdout } = await guest.exec('echo "${0%/*}"')
      expect(stdout.trim().startsWith(scratch)).toBe(true)
    }))

  test('what a command leaves behind holds nobody up', () =>
    withAgent(async (guest) => {
      const { exitCode, stdout } = await guest.exec('sleep 1000 & echo $!')
      expect([exitCode, isAlive(Number(stdout))]).toEqual([0, true])
      process.kill(Number(stdout))
    }))

  test('what is left behind prints nothing into the outputs of the next command', () =>
    withAgent(async (guest) => {
      const { stdout } = await guest.exec('(sleep 2; echo late; sleep 2; echo later) & echo $!')
      expect(stdout).toMatch(/^\d+\n$/)
      expect((await guest.exec('sleep 3; echo mine')).stdout).toBe('mine\n')
    }))

  test('commands run at once, with inputs and outputs of their own', () =>
    withAgent(async (guest) => {
      const file = join(mkdtempSync(join(scratch, 'meet-')), 'place')
      // Each waits for all others: one after the other they would not end.
      const meet = `echo >>'${file}'; while [ "$(wc -l <'${file}')" -lt 8 ]; do sleep 0.1; done`
      const calls = Array.from({ length: 8 }, (_, i) =>
        guest.exec(`${meet}; read line; echo "$line out"; echo "$line err" >&2; exit ${i}`, { stdin: `in ${i}\n` }),
      )
      expect((await Promise.all(calls)).map(({ exitCode, stdout, stderr }) => [exitCode, stdout, stderr])).toEqual(
        Array.from({ length: 8 }, (_, i) => [i, `in ${i} out\n`, `in ${i} err\n`]),
      )
      // A command that is ended and a command that prints too much do not disturb a third one.
      const [late, flood, other] = await Promise.allSettled([
        guest.exec('echo begun; sleep 1000', { timeoutMs: 600 }),
        guest.exec('yes', { maxOutputBytes: 2000 }),
        guest.exec('sleep 2; head -c 60000 /dev/zero | tr "\\0" x'),
      ])
      expect(late).toMatchObject({
        reason: { code: 'ERR_GUEST_TIMEOUT', output: { stdout: new Uint8Array(Buffer.from('begun\n')) } },
      })
      expect(flood).toMatchObject({ reason: { code: 'ERR_GUEST_OUTPUT' } })
      expect(other).toMatchObject({ value: { exitCode: 0, stdout: 'x'.repeat(60_000) } })
    }))

  test('noise and a lost session are got over', () =>
    withAgent(async (guest, agent) => {
      agent.noise('login: \x00\xff\nrt1> 9 half a requ')
      await guest.ping()
      agent.noise(`${'x'.repeat(20_000)}\nrt1> 12 other 1 exec\nrt1> `)
      expect((await guest.exec('echo fine')).stdout).toBe('fine\n')
      // A second connection, as after a restore: the first one's command is ended.
      const file = join(mkdtempSync(join(scratch, 'left-')), 'pid')
      const left = guest.exec(`echo $$ >'${file}'; sleep 1000`).catch((error: unknown) => error)
      await expect.poll(() => existsSync(file) && statSync(file).size).toBeGreaterThan(0)
      const second = await connectGuest(agent)
      const group = Number(readFileSync(file, 'utf8'))
      await expect.poll(() => isAlive(-group)).toBe(false)
      expect((await second.exec('echo again')).stdout).toBe('again\n')
      guest.close()
      expect(await left).toMatchObject({ code: 'ERR_GUEST_CLOSED' })
      second.close()
    }))

  test('a request that comes twice is carried out once, and a damaged one is not', async () => {
    const agent = localAgent(command, own)
    let said = ''
    agent.onTransmit((bytes) => (said += Buffer.from(bytes).toString()))
    const send = (id: number, words: readonly string[], payload?: string): void =>
      agent.noise(
        Buffer.from(encodeRequest('me', id, words, payload === undefined ? payload : Buffer.from(payload))).toString(),
      )
    const answers = (): string[] => said.split('\n').filter((line) => line !== '')
    for (const expected of [1, 2]) {
      send(1, ['sync'])
      await expect.poll(answers).toHaveLength(expected)
    }
    for (const expected of [3, 4]) {
      send(2, ['put', '0', 'script', 'begin'], 'echo one\n')
      await expect.poll(answers).toHaveLength(expected)
    }
    for (const expected of [5, 6]) {
      send(3, ['put', '0', 'script', 'go-on'], 'echo two\n')
      await expect.poll(answers).toHaveLength(expected)
    }
    agent.noise('\nrt1> 8 me 4 ping\nrt1> 10 me 4 ping\n')
    send(5, ['exec', '0', '100', 'none', 'staged'])
    await expect.poll(answers).toHaveLength(8)
    send(6, ['fetch', '0', '1', '0'])
    await expect.poll(answers).toHaveLength(9)
    const output = Buffer.from('one\ntwo\n').toString('base64')
    expect(answers()).toEqual([
      ...Array.from({ length: 2 }, () => 'rt1< 9 me 1 ok 6'),
      ...['me 2 ok', 'me 2 ok', 'me 3 ok', 'me 3 ok', 'me 5 ok'].map((line) => `rt1< 7 ${line}`),
      'rt1< 14 me 0 end 0 0 1',
      `rt1< 20 me 6 ok ${output}`,
    ])
    await agent.end()
  })

  test('a file of 1.1 MB goes in few requests, without base64', () =>
    withAgent(async (guest, agent) => {
      const path = join(mkdtempSync(join(scratch, 'large-')), 'file')
      const bytes = new Uint8Array(randomBytes(1_100_003))
      await guest.files.write(path, bytes)
      // The whole of it in a message would be too much.
      expect(readFileSync(path).equals(bytes)).toBe(true)
      expect(agent.operations.filter((each) => each === 'load' || each === 'put')).toEqual(['load', 'load', 'put'])
      expect(Buffer.from(await guest.files.read(path)).equals(bytes)).toBe(true)
      expect(agent.operations.filter((each) => each === 'fetch').length).toBeLessThan(20)
    }))

  test('a file of any size goes by parts, of which host and guest have one at a time', () =>
    withAgent(async (guest, agent) => {
      const path = join(mkdtempSync(join(scratch, 'parts-')), "a 'file'")
      const size = 2 * MIB + 700_001
      const bytes = new Uint8Array(randomBytes(size))
      let ahead = 0
      async function* pieces(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < size; at += 300_007) {
          ahead = Math.max(ahead, at - (existsSync(path) ? statSync(path).size : 0))
          yield bytes.subarray(at, at + 300_007)
        }
      }
      await guest.files.write(path, pieces(), { mode: 0o600 })
      expect(readFileSync(path).equals(bytes)).toBe(true)
      expect(statSync(path).mode & 0o777).toBe(0o600)
      expect(ahead).toBeLessThan(MIB + 300_007)
      const parts: Uint8Array[] = []
      for await (const part of guest.files.readParts(path)) parts.push(part)
      expect(parts.map(({ length }) => length)).toEqual([MIB, MIB, 700_001])
      expect(Buffer.concat(parts).equals(bytes)).toBe(true)
      // A reader that stops early has no further part read.
      const before = agent.operations.length
      for await (const { length } of guest.files.readParts(path)) {
        expect(length).toBe(MIB)
        break
      }
      expect(agent.operations.slice(before).filter((each) => each === 'exec')).toHaveLength(1)
    }))

  test('a stream of the web is written, and what fails says why, as with a whole file', () =>
    withAgent(async (guest) => {
      const folder = mkdtempSync(join(scratch, 'sources-'))
      const path = join(folder, 'file')
      const read = async (name: string): Promise<number[]> => {
        const lengths: number[] = []
        for await (const { length } of guest.files.readParts(name)) lengths.push(length)
        return lengths
      }
      await guest.files.write(path, new Blob(['as a stream']).stream())
      expect(readFileSync(path, 'utf8')).toBe('as a stream')
      // Safari's is no iterable.
      let cancelled = 0
      const reader = { read: vi.fn(), cancel: async () => void cancelled++ }
      reader.read
        .mockResolvedValueOnce({ done: false, value: Buffer.from('by a ') })
        .mockResolvedValueOnce({ done: false, value: Buffer.from('reader') })
        .mockResolvedValueOnce({ done: true })
      await guest.files.write(path, { getReader: () => reader })
      expect([readFileSync(path, 'utf8'), cancelled]).toEqual(['by a reader', 1])
      await guest.files.write(path, Readable.from([]))
      expect(await read(path)).toEqual([])
      const broken = Readable.from([Buffer.alloc(MIB + 1), 'text'])
      await expect(guest.files.write(path, broken)).rejects.toMatchObject({ code: 'ERR_GUEST_OPTION' })
      expect([broken.destroyed, await read(path)]).toEqual([true, [MIB]])
      const missing = { code: 'ERR_GUEST_FILE', message: expect.stringMatching(/no such file/i) }
      await expect(read(join(folder, 'none'))).rejects.toMatchObject(missing)
      const nowhere = guest.files.write(join(folder, 'none/x'), Readable.from([]))
      await expect(nowhere).rejects.toMatchObject({ code: 'ERR_GUEST_FILE' })
      const folderRead = { code: 'ERR_GUEST_FILE', message: expect.stringMatching(/is a directory$/i) }
      await expect(read(folder)).rejects.toMatchObject(folderRead)
    }))

  test('files are written, read and listed', () =>
    withAgent(async (guest) => {
      const folder = mkdtempSync(join(scratch, 'files-'))
      const path = join(folder, '-a "b" \'c\' $d')
      const bytes = new Uint8Array(30_011).map((_, i) => i * 7)
      await guest.files.write(path, bytes, { mode: 0o640 })
      expect(new Uint8Array(readFileSync(path))).toEqual(bytes)
      expect(statSync(path).mode & 0o777).toBe(0o640)
      expect(await guest.files.read(path)).toEqual(bytes)
      await guest.files.write(path, 'less')
      writeFileSync(join(folder, '.hidden'), '')
      symlinkSync('nowhere', join(folder, 'link'))
      expect(await guest.files.list(folder)).toEqual([
        { name: '-a "b" \'c\' $d', type: 'file', sizeBytes: 4, mode: 0o640, modifiedSeconds: expect.any(Number) },
        { name: '.hidden', type: 'file', sizeBytes: 0, mode: expect.any(Number), modifiedSeconds: expect.any(Number) },
        { name: 'link', type: 'symlink', sizeBytes: 7, mode: 0o777, modifiedSeconds: expect.any(Number) },
      ])
      expect(await guest.files.list(mkdtempSync(join(folder, 'empty-')))).toEqual([])
      const missing = { code: 'ERR_GUEST_FILE', message: expect.stringMatching(/no such file|can't cd/i) }
      await expect(guest.files.read(join(folder, 'none'))).rejects.toMatchObject(missing)
      await expect(guest.files.write(join(folder, 'none/x'), '')).rejects.toMatchObject({ code: 'ERR_GUEST_FILE' })
      await expect(guest.files.list(join(folder, 'none'))).rejects.toMatchObject(missing)
      await expect(guest.files.read(path, { maxBytes: 3 })).rejects.toMatchObject({ code: 'ERR_GUEST_OUTPUT' })
    }))
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
