import { spawn } from 'node:child_process'
import { copyFileSync, globSync, mkdirSync, readdirSync, symlinkSync, truncateSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { cacheDirectory } from '@retrap/debian'
import { hasProc, hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect } from 'vitest'
import { EXEC_DEADLINE_MS as timeout, EXEC_START, retrapExec as exec, runToEnd } from '../support/exec.ts'

const isHere = hasProc && process.arch === 'x64' && hasProgram('apt-get') && hasProgram('python3')
// Some boot a machine of their own.
const test = sliceTests(28).skipIf(!isHere)
const note = skipNote(isHere, 'it runs programs of an x86-64 Linux host, python3 among them')

test.each([
  {
    given: 'fills the disk',
    args: [
      'sh',
      '-c',
      'head -c 2G /dev/zero >/tmp/x 2>/dev/null || echo full; rm /tmp/x && echo y >/tmp/y && cat /tmp/y',
    ],
    ended: { code: 0, stdout: 'full\ny\n', stderr: '' },
  },
  {
    given: 'takes all memory',
    args: ['python3', '-c', 'x = []\nwhile True: x.append(bytearray(1 << 24))'],
    ended: { code: 137, stdout: '', stderr: '' },
  },
  {
    given: 'forks without bound',
    args: ['sh', '-c', 'f() { f | f & f; }; f'],
    ended: { code: 124, stdout: '', stderr: expect.stringMatching(/^retrap: sh did not end in 4 s/) },
  },
  {
    given: 'kills all that it may',
    args: ['sh', '-c', 'kill -9 -1; echo alive'],
    ended: { code: 125, stdout: '', stderr: expect.stringMatching(/^retrap: sh ended what takes its outputs/) },
  },
  {
    given: 'kills the first process',
    args: ['sh', '-c', 'kill -9 1; echo alive'],
    ended: { code: 0, stdout: 'alive\n', stderr: '' },
  },
  {
    given: 'has two processors',
    options: ['--cpus', '2'],
    args: ['nproc'],
    ended: { code: 0, stdout: '2\n', stderr: '' },
  },
])(`a program that $given${note}`, { timeout }, ({ given, options = [], args, ended }) => {
  const limit = given === 'forks without bound' ? '4' : '120'
  expect(exec(['--timeout', limit, ...options, '--', ...args])).toEqual(ended)
})

test.each([
  { given: 'a closed input', line: '"$@" -- cat <&-; echo $?', stdout: '0\n' },
  {
    given: 'an output that is read no more',
    line: '{ { "$@" -- yes; echo $? >&2; } | head -1 >/dev/null; } 2>&1',
    stdout: '141\n',
  },
])(`$given ends the program as on the host${note}`, { timeout }, ({ line, stdout }) => {
  const { stdout: said } = runToEnd('sh', ['-c', line, 'sh', ...EXEC_START])
  expect(said.replaceAll(/^retrap: .*\n/gm, '')).toBe(stdout)
})

test.each(['SIGTERM', 'SIGINT'] as const)(`%s goes to the program${note}`, { timeout }, async (signal) => {
  const name = signal.slice(3)
  const script = `trap "echo told; exit 5" ${name}; echo begun; while :; do sleep 0.1; done`
  const [file = '', ...args] = EXEC_START
  const child = spawn(file, [...args, '--', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  let said = ''
  child.stdout.on('data', (bytes) => {
    said += String(bytes)
    if (said === 'begun\n') child.kill(signal)
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  expect({ code, said }).toEqual({ code: 5, said: 'begun\ntold\n' })
})

test(`--network reaches a server of the host, and without it none is reached${note}`, { timeout }, async () => {
  const server = createServer((_, response) => response.end('from the host'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const script = `import urllib.request as u; print(u.urlopen("http://10.0.2.2:${port}/", timeout=20).read())`
  const run = (options: readonly string[]): Promise<string> =>
    new Promise((resolve) => {
      const [file = '', ...args] = EXEC_START
      const child = spawn(file, [...args, ...options, '--', 'python3', '-c', script], {
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      let said = ''
      child.stdout.on('data', (bytes) => (said += String(bytes)))
      child.on('close', (code) => resolve(`${code} ${said}`))
    })
  try {
    expect(await run(['--network'])).toBe("0 b'from the host'\n")
    expect(await run([])).toBe('1 ')
  } finally {
    server.close()
  }
})

/** Types each line when the text before it has been said; {@link TERMINAL} says all that it has seen. */
const STEPS = [
  ['# ', 'tty; stty size; echo A$((1+1))\n'],
  ['A2', 'sleep 100\n'],
  ['sleep 100\r', '\u0003'],
  ['^C', 'sleep 100 # again\n'],
  ['again\r', '\u001A'],
  ['Stopped', 'jobs; kill %1; echo B$((1+2))\n'],
  ['B3', 'python3\n'],
  ['>>> ', '6*7\n'],
  ['42', 'exit()\n'],
  ['# ', 'exit 4\n'],
]
const TERMINAL = `
import pty, os, sys, select, struct, fcntl, termios, json, time
steps = json.loads(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 31, 93, 0, 0))
said, at = '', 0
while True:
    try: data = os.read(fd, 4096)
    except OSError: break
    if not data: break
    said += data.decode(errors='replace').replace('\\r\\r', '\\r')
    while steps and said.find(steps[0][0], at) >= 0:
        at = said.find(steps[0][0], at) + len(steps[0][0])
        time.sleep(0.3)
        os.write(fd, steps.pop(0)[1].encode())
print(said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`
test(`-t has a terminal with its size, control characters and jobs${note}`, { timeout }, () => {
  const steps = JSON.stringify(STEPS)
  const program = [...EXEC_START, '-t', '--', 'bash', '--norc']
  const { code, stdout } = runToEnd('python3', ['-c', TERMINAL, steps, ...program])
  expect(stdout).toMatch(/31 93\r\n[^]*\^C[^]*Stopped +sleep 100[^]*B3[^]*>>> 6\*7\r\n42\r\n/)
  expect(code).toBe(4)
})

/** A cache folder with its own machines, and all else of the usual one. */
function withCache<T>(act: (exec: string, env: NodeJS.ProcessEnv) => T): T {
  const folder = temporaryFolder('exec-cache')
  const cache = join(folder, 'retrap')
  mkdirSync(join(cache, 'exec'), { recursive: true })
  for (const name of readdirSync(cacheDirectory()))
    if (name !== 'exec') symlinkSync(join(cacheDirectory(), name), join(cache, name))
  return act(join(cache, 'exec'), { ...process.env, XDG_CACHE_HOME: folder })
}

test(`a kept machine that is damaged is made anew, and a sentence says so${note}`, { timeout }, () => {
  exec(['--', 'true'])
  withCache((machines, env) => {
    for (const path of globSync(join(cacheDirectory(), 'exec', '*.snapshot'))) {
      const copy = join(machines, path.slice(path.lastIndexOf('/') + 1))
      copyFileSync(path, copy)
      truncateSync(copy, 20_000_000)
    }
    const said = 'retrap: the machine that was kept is damaged; it is made anew\n'
    expect(exec(['--', 'echo', 'hi'], '', env)).toEqual({ code: 0, stdout: 'hi\n', stderr: said })
    expect(exec(['--', 'echo', 'hi'], '', env)).toEqual({ code: 0, stdout: 'hi\n', stderr: '' })
  })
})

test(`a cache folder that is full or cannot be written is told${note}`, { timeout }, () => {
  const none = exec(['--', 'true'], '', { ...process.env, XDG_CACHE_HOME: '/proc' })
  expect(none).toMatchObject({ code: 125, stdout: '' })
  expect(none.stderr).toMatch(/^retrap: the cache folder \/proc\/retrap cannot be used: [^\n]*XDG_CACHE_HOME[^\n]*\n$/)
  withCache((machines, env) => {
    const script = 'trap "" XFSZ; ulimit -f 2000; "$@" -- true'
    const { code, stderr } = runToEnd('sh', ['-c', script, 'sh', ...EXEC_START], '', env)
    expect(stderr).toMatch(/^retrap: cannot write the snapshot .*EFBIG.*\n/m)
    expect({ code, left: readdirSync(machines) }).toEqual({ code: 125, left: [] })
  })
})
