/** Tests of a cluster of two Linux guests, by `clusterTest` and by any runner. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterInput } from '@retrap/cluster'
import { testCluster } from '@retrap/cluster/node'
import { clusterTest } from '@retrap/cluster/vitest'
import { savedImage } from '@retrap/tooling/container-images'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { writeTar } from '@retrap/tooling/tar-writer'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { fetchKernelModules } from '@retrap/linux-guest/linux/debian-drivers'
import { linuxWith } from '../support/disk-linux.ts'
import { PLAIN, run, soak } from '../soak/cluster.soak.ts'
import { FIRST_PROCESS } from '../support/first-process.ts'
import { retrapCommand } from '../support/processes.ts'

// Linux is booted.
const test = sliceTests(8)
const folder = temporaryFolder('cluster-test')
/** A machine of its own counts its boots on its disk, and tells the number to those who ask. */
const OWN = `${FIRST_PROCESS}/drivers
ip link set eth0 up; ip addr add 10.83.0.1/16 dev eth0
n=$(dd if=/dev/vda bs=512 count=1 2>/dev/null | tr -d '\\0'); n=$((n + 1))
echo $n | dd of=/dev/vda bs=512 conv=sync,fsync 2>/dev/null
for p in /sys/class/virtio-ports/*; do echo "reachable boot-$n" >/dev/\${p##*/}; done
while :; do nc -l -p 7 -e sh -c "echo $n \\$(cat /sys/class/rtc/rtc0/since_epoch)"; done
`
const linux = hasProc ? await linuxWith(['virtio_pci', 'virtio_blk', 'virtio_net', 'virtio_console'], OWN) : undefined
const hasLinux = linux !== undefined

/** A program that trusts the clock of its machine, which reaches the other by its name. */
const PROGRAM = `getent hosts node >/dev/null || exit 9
a=$(date +%s); sleep 2; b=$(date +%s)
[ $((b - a)) -lt 4 ] && is=ok || is=fail
echo "always steady $is" >/dev/retrap/report`
const CLUSTER: ClusterInput = {
  machines: [{ name: 'node' }, { name: 'client' }],
  workload: { on: 'client', drivers: [['sh', '-c', PROGRAM]] },
  faults: { for: '4s', heal: '1s' },
}
const clock = { kind: 'clock', at: '1s', for: '3s', amount: '5s', machines: ['client'] } as const
const late = { kind: 'delay', at: '500ms', for: '1s', amount: '1ms' } as const
const FAILING: ClusterInput = { ...CLUSTER, faults: { ...CLUSTER.faults, list: [late, clock] } }
const retrap = [process.execPath, ...retrapCommand([])] as const
const LIMIT = { timeout: 600_000 }

/** A cluster with a machine of its own, whose power and clock have faults. */
function ownCluster(): ClusterInput {
  copyFileSync(linux!.kernelPath, join(folder, 'vmlinuz'))
  writeFileSync(join(folder, 'initrd.img'), linux!.initrd)
  writeFileSync(join(folder, 'disk.img'), new Uint8Array(1 << 20))
  const drive = [{ file: 'disk.img', if: 'virtio', format: 'raw' }]
  const append = 'console=ttyS0 quiet cryptomgr.notests rdinit=/auto'
  writeFileSync(join(folder, 'own.json'), JSON.stringify({ kernel: 'vmlinuz', initrd: 'initrd.img', append, drive }))
  const ask =
    'sleep 5; read n c </dev/tcp/own/7; h=$(((c - 1767225600) / 3600)); echo "always first $([ $n$h = 21 ] && echo fail || echo ok) {\\"n\\":$n,\\"h\\":$h}" >/dev/retrap/report'
  const power = { kind: 'power', at: '2s', for: '200ms', machines: ['own'] } as const
  const jump = { kind: 'clock', at: '4s', for: '2s', machines: ['own'], amount: '60m' } as const
  return {
    machines: [{ name: 'own', machine: join(folder, 'own.json'), memory: '128M', disk: '8M' }, { name: 'client' }],
    workload: { on: 'client', drivers: [['bash', '-c', ask]] },
    faults: { for: '6s', heal: '1s', list: [power, jump] },
  }
}

describe.skipIf(!hasLinux)(`a cluster of Linux guests${skipNote(hasLinux, 'no /proc, or no kernel')}`, () => {
  clusterTest('a clock is right', CLUSTER, { retrap })

  test('services of a Compose file run', LIMIT, async () => {
    const { busyboxPath } = await fetchKernelModules('amd64', () => undefined)
    const dirs = ['bin/', 'dev/', 'proc/', 'sys/', 'tmp/'].map((name) => ({ name, kind: '5', mode: 0o755 }) as const)
    const shell = { name: 'bin/sh', content: readFileSync(busyboxPath), mode: 0o755 }
    writeFileSync(join(folder, 'web.tar'), savedImage([writeTar([...dirs, shell])], { tags: ['web:1'] }))
    const driver = 'ping -c 1 web >/tmp/p || echo always found fail >/dev/retrap/report'
    const workload = { on: 'web', drivers: [['sh', '-c', driver]] }
    const services = { web: { image: 'web:1', command: ['sh', '-c', 'sleep 99'] } }
    const text = JSON.stringify({ services, 'x-retrap': { workload, faults: { for: '1s', heal: '0s' } } })
    writeFileSync(join(folder, 'compose.yaml'), text)
    const given = { folder, retrap, outputFolder: join(folder, 'composed') }
    await testCluster('compose.yaml', { ...given, compose: ['--images', '.'] })
    await expect(testCluster('compose.yaml', { ...given, compose: ['--pull', 'never'] })).rejects.toThrow(
      'compose.yaml:1: services.web.image: there is no',
    )
  })

  test('a failure says the seed, its faults, and how to see it again; its plan fails as well', LIMIT, async () => {
    const outputFolder = join(folder, 'failure')
    const failure = 'always steady failed on client'
    const faults = '- 500 ms: delay of 1 ms, all links, for 1 s\n- 1 s: clock of 5 s, client, for 3 s\n'
    const failed = testCluster(FAILING, { seed: 3, outputFolder, retrap })
    await expect(failed).rejects.toThrow(`${failure}\nSeed 3, branch 0, and these faults:\n${faults}`)
    await expect(failed).rejects.toThrow('client: always steady fail\n')
    await expect(failed).rejects.toThrow(`run ${outputFolder}/cluster.json --plan ${outputFolder}/plan.json\n`)
    expect(existsSync(join(outputFolder, 'failure.run'))).toBe(true)
    const plan = join(outputFolder, 'plan.json')
    const found = JSON.parse(readFileSync(plan, 'utf8')) as { readonly madeWith: string }
    const madeWith = expect.stringMatching(/^retrap \S+ [0-9a-f]{12}, Linux \d\S+, programs [0-9a-f]{12}$/)
    expect(found).toMatchObject({ seed: 3, failure, madeWith })
    writeFileSync(plan, JSON.stringify({ ...found, madeWith: found.madeWith.replace(/.$/, 'x') }))
    const words = ['cluster', 'run', join(outputFolder, 'cluster.json'), '--plan', plan]
    const { stderr } = spawnSync(process.execPath, [...retrapCommand([]), ...words], { encoding: 'utf8' })
    expect(stderr.match(/was found with (.*); this is (.*): the run/)?.[2]).toBe(found.madeWith)
    writeFileSync(plan, JSON.stringify(found))
    await expect(testCluster(FAILING, { plan, outputFolder, retrap })).rejects.toThrow(failure)
  })

  test('a machine of its own starts again with its disk, and its clock jumps', LIMIT, async () => {
    const failed = testCluster(ownCluster(), { folder, outputFolder: join(folder, 'own'), retrap })
    await expect(failed).rejects.toThrow(
      'always first failed on client: {"n":2,"h":1}\nSeed 1, branch 0, and these faults:\n- 2 s: power, own',
    )
    await expect(failed).rejects.toThrow('own: reachable boot-2')
  })

  test('a machine of its own that is forked amid its faults has the same run', LIMIT, async () => {
    await soak.setup!()
    const one = { value: ownCluster(), seed: 1, stops: [1e9, 2.1e9, 4.5e9] }
    const plain = await run(one, PLAIN, () => 99)
    expect(await run(one, { ...PLAIN, isForked: true, workers: 2, forks: 0b1111 }, () => 99)).toEqual(plain)
    await soak.teardown!()
  })

  test('a mistake names its field, and what cannot run is told', LIMIT, async () => {
    const [machine] = CLUSTER.machines
    const mistake = testCluster({ machines: [{ ...machine!, memory: 'much' }] }, { retrap })
    await expect(mistake).rejects.toThrow("machines[0].memory: 'much': expected a size")
    const absent = testCluster({ machines: [{ ...machine!, image: './none.tar' }] }, { outputFolder: folder, retrap })
    await expect(absent).rejects.toMatchObject({ code: 'ERR_MACHINE', message: expect.stringContaining('none.tar') })
  })
})
