/** Modules of a user's own: wherever their files lie, and whatever they do while they are loaded. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { importModels, startDeviceProcess, startDeviceWorker } from '../../src/node/index.ts'
import { makeMachine } from '../machine.ts'

let folder = ''
beforeAll(() => {
  // Outside of any package: nothing to be found in a node_modules above it.
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'retrap-user-')))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function moduleOf(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return pathToFileURL(join(folder, name)).href
}

/** Fails unless the error of the host is of the class that the module has imported. */
const MINE = `
import { DeviceError, defineDevice } from '@retrap/device'
export const mine = defineDevice({
  name: 'mine',
  stateless: true,
  ports: { base: 0x300, size: 4 },
  read: () => 42,
  attach(context) {
    try {
      context.mapPorts(-1, 1, { read: () => 0, write: () => {} })
    } catch (error) {
      if (error instanceof DeviceError) return
    }
    throw new Error('the module has another instance of @retrap/device')
  },
})
`
const TYPED = `import type { DeviceModel } from '@retrap/device'\n${MINE.replace('export const mine =', 'export const mine: DeviceModel =')}`

test.each([
  ['nothing', ''],
  ['null', 'export default null'],
  ['a string and a number', 'export const name = "x"\nexport const attach = 1'],
  ['a name without attach', 'export const one = { name: "x" }'],
  ['attach without a name', 'export const one = { attach() {} }'],
])('a module that exports %s has no device model', async (what, text) => {
  const url = moduleOf(`${what.replaceAll(' ', '-')}.mjs`, text)
  await expect(importModels([url])).rejects.toThrow(expect.objectContaining({ code: 'ERR_NOT_FOUND' }))
})

test('beside its model a module may export anything', async () => {
  const url = moduleOf(
    'beside.mjs',
    'export default null\nexport const one = { name: "x", attach() {} }\nexport const two = 2',
  )
  expect((await importModels([url])).map(({ name }) => name)).toEqual(['x'])
})

describe.each([
  ['JavaScript', 'mine.mjs', MINE],
  ['TypeScript', 'mine.ts', TYPED],
  ['JavaScript that imports retrap/device,', 'short.mjs', MINE.replace("'@retrap/device'", "'retrap/device'")],
])('a module in %s outside of any package', (_, name, text) => {
  test('is loaded in the main thread, with the host’s instance of the contract', () => {
    const url = moduleOf(name, text)
    const source = `
      import { importModels } from ${JSON.stringify(new URL('../../src/node/modules.ts', import.meta.url).href)}
      import { DeviceError } from ${JSON.stringify(new URL('../../../device/src/index.ts', import.meta.url).href)}
      const [model] = await importModels([${JSON.stringify(url)}])
      model.attach({ mapPorts(base) { if (base < 0) throw new DeviceError('ERR_INVALID', 'no') } })
      console.log(model.name)
    `
    const run = spawnSync(process.execPath, ['--conditions=retrap-source', '--input-type=module', '--eval', source], {
      cwd: folder,
      encoding: 'utf8',
      // This thread waits blocked: the test's own limit cannot end it.
      timeout: 100_000,
    })
    expect([run.stdout, run.status]).toEqual(['mine\n', 0])
  })

  test('is loaded in a Worker', async () => {
    const { dispatch, platform } = makeMachine()
    const transport = startDeviceWorker(dispatch, platform, { name: 'w', modules: [moduleOf(name, text)] })
    void transport.watch()
    await transport.remote.ready
    transport.close()
  })

  test('is loaded in a process', async () => {
    const { dispatch, platform } = makeMachine()
    const transport = await startDeviceProcess(dispatch, platform, { name: 'p', modules: [moduleOf(name, text)] })
    await transport.remote.ready
    transport.close()
  })
})

describe('a module whose top level never ends', () => {
  const url = (): string => moduleOf('waits.mjs', 'await new Promise(() => {})\n')

  test('fails after its deadline in the main thread', async () => {
    await expect(importModels([url()], 50)).rejects.toMatchObject({ code: 'ERR_DEVICE', message: /within 50 ms/ })
  })

  test('and loops fails after its deadline in the main thread', () => {
    const source = `
      import { importModels } from ${JSON.stringify(new URL('../../src/node/modules.ts', import.meta.url).href)}
      await importModels([${JSON.stringify(moduleOf('loops.mjs', 'for (;;);'))}], 300).catch(({ code }) => console.log(code))
    `
    const run = spawnSync(process.execPath, ['--conditions=retrap-source', '--input-type=module', '--eval', source], {
      encoding: 'utf8',
      timeout: 100_000,
    })
    expect([run.stdout, run.status]).toEqual(['ERR_DEVICE\n', 0])
  })

  test('fails its server elsewhere', async () => {
    const { dispatch, platform, failures } = makeMachine({ policy: 'detach' })
    const transport = startDeviceWorker(dispatch, platform, { name: 'w', modules: [url()], readyMs: 300 })
    void transport.watch()
    await expect(transport.remote.ready).rejects.toThrow(/within 300 ms/)
    expect(failures).toHaveLength(1)
  })
})

test.skipIf(process.platform === 'win32')(
  'a device process that spins ends when its hypervisor is killed',
  async () => {
    const pidFile = join(folder, 'pid')
    const spins = moduleOf(
      'spins.mjs',
      `import { writeFileSync } from 'node:fs'
       import { defineDevice } from '@retrap/device'
       export const spins = defineDevice({
         name: 'spins',
         attach() {
           setTimeout(() => {
             writeFileSync(${JSON.stringify(pidFile)}, String(process.pid))
             for (;;);
           }, 200)
         },
       })`,
    )
    const program = new URL('starts-process.ts', import.meta.url)
    const parent = spawn(process.execPath, ['--conditions=retrap-source', program.pathname, spins], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise((resolve) => parent.stdout.once('data', resolve))
    const until = async (done: () => boolean): Promise<void> => {
      for (let i = 0; i < 2000 && !done(); i++) await new Promise((resolve) => void setTimeout(resolve, 50))
    }
    await until(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8') !== '')
    const pid = Number(readFileSync(pidFile, 'utf8'))
    parent.kill('SIGKILL')
    const gone = (): boolean => {
      try {
        process.kill(pid, 0)
        // A zombie of a container without an init still has its number.
        return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
      } catch {
        return true
      }
    }
    await until(gone)
    expect(gone()).toBe(true)
  },
  60_000,
)
