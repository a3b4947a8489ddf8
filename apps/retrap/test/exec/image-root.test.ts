import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { openImageRoot } from '@retrap/linux-guest/jobs/root'
import { sha256 } from '../support/sha256.ts'

const folder = temporaryFolder('image-root')

test('an archive of docker save is a root with its config; another file is refused by a sentence', async () => {
  mkdirSync(join(folder, 'bin'))
  writeFileSync(join(folder, 'bin/run'), '#!')
  const layer = execFileSync('tar', ['-c', '-C', folder, 'bin'])
  const diff = `sha256:${sha256(layer)}`
  const config = { Env: ['A=b'], User: 'app', WorkingDir: '/srv', Entrypoint: ['/bin/run'], Cmd: ['-v'] }
  const rootfs = { type: 'layers', diff_ids: [diff] }
  writeFileSync(join(folder, 'layer.tar'), layer)
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ os: 'linux', architecture: 'amd64', config, rootfs }))
  const one = { Config: 'config.json', Layers: ['layer.tar'] }
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify([one]))
  const path = join(folder, 'image.tar')
  writeFileSync(path, execFileSync('tar', ['-c', '-C', folder, 'layer.tar', 'config.json', 'manifest.json']))

  const root = await openImageRoot(path, 'amd64')
  expect(await (await root.share.root()).list()).toEqual(['bin'])
  const { env, user, workingDirectory, entrypoint, command } = root.config
  expect({ env, user, workingDirectory, entrypoint, command }).toEqual({
    env: ['A=b'],
    user: 'app',
    workingDirectory: '/srv',
    entrypoint: ['/bin/run'],
    command: ['-v'],
  })
  await root.close()

  const several = ['a:latest', 'b:2'].map((tag) => ({ ...one, RepoTags: [tag] }))
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(several))
  const both = join(folder, 'both:1.tar')
  writeFileSync(both, execFileSync('tar', ['-c', '-C', folder, 'layer.tar', 'config.json', 'manifest.json']))
  await expect(openImageRoot(both, 'amd64')).rejects.toThrow(
    /name the wanted one: a:latest, b:2 \(--image .*both:1.tar:NAME\)/,
  )
  await (await openImageRoot(`${both}:b:2`, 'amd64')).close()
  await (await openImageRoot(`${both}:a`, 'amd64')).close()
  await expect(openImageRoot(path, 'arm64')).rejects.toThrow('the image is for linux/amd64, not for linux/arm64')
  await expect(openImageRoot(join(folder, 'none'), 'amd64')).rejects.toMatchObject({ code: 'ERR_INPUT' })
})
