import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'

const FOLDER = fileURLToPath(new URL('../deploy/', import.meta.url))
const COMMAND = fileURLToPath(new URL('../src/command.ts', import.meta.url))
const textOf = (name: string): string => readFileSync(join(FOLDER, name), 'utf8')
const hasSystemd = hasProgram('systemd-analyze')

type Named = readonly { readonly name: string }[]
interface Pod {
  readonly volumes: Named
  readonly containers: readonly { readonly volumeMounts: Named }[]
}
interface Deployment {
  readonly selector: { readonly matchLabels: unknown }
  readonly template: { readonly metadata: unknown; readonly spec: Pod }
}

describe('files for deployment', () => {
  test(`systemd takes the unit${skipNote(hasSystemd, 'systemd-analyze is not installed')}`, (context) => {
    if (!hasSystemd) context.skip()
    const folder = mkdtempSync(join(tmpdir(), 'fleet-unit-'))
    const unit = join(folder, 'retrap-fleet.service')
    cpSync(join(FOLDER, 'retrap-fleet.service'), unit)
    // Its own units of this host may have faults; only what names ours counts.
    const { stderr } = spawnSync('systemd-analyze', ['verify', '--recursive-errors=no', unit], { encoding: 'utf8' })
    rmSync(folder, { recursive: true })
    expect(stderr.split('\n').filter((line) => line.includes('retrap-fleet'))).toEqual([])
  })

  test('the manifest for Kubernetes runs a worker with few rights', () => {
    const { spec, ...manifest } = parse(textOf('kubernetes.yaml'), { strict: true }) as { spec: Deployment }
    expect(manifest).toMatchObject({ apiVersion: 'apps/v1', kind: 'Deployment' })
    expect(spec.template.metadata).toEqual({ labels: spec.selector.matchLabels })
    const securityContext = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true }
    expect(spec.template.spec).toMatchObject({
      securityContext: { runAsNonRoot: true },
      containers: [{ securityContext }],
    })
    const { containers, volumes } = spec.template.spec
    expect(containers[0]?.volumeMounts.map(({ name }) => name)).toEqual(volumes.map(({ name }) => name))
  })

  test.skipIf(!hasProgram('bash'))('bash takes the script for Slurm', () => {
    execFileSync('bash', ['-n', join(FOLDER, 'slurm.sh')])
  })

  test('all start a worker of this program, with options and variables that it has', () => {
    const program = readFileSync(COMMAND, 'utf8')
    for (const name of readdirSync(FOLDER)) {
      const text = textOf(name)
      const [, path, rest = ''] =
        /node"?,? "?[^ ,"]*?\/(apps\/fleet\/[^ ,"]+)"?,? worker(.*(?:\n *args:.*)?)/.exec(text) ?? []
      expect(existsSync(new URL(`../../../${path}`, import.meta.url)), `${name}: ${path}`).toBe(true)
      for (const [option] of rest.matchAll(/--[a-z-]+/g)) expect(program, name).toContain(`'${option} <`)
      for (const [variable] of text.matchAll(/RETRAP_[A-Z_]+/g)) expect(program, name).toContain(`.env('${variable}')`)
    }
  })
})
