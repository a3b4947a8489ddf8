import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

/** Builds the site, from sources. @returns its files by name */
export async function buildSite(): Promise<Map<string, Uint8Array>> {
  const outDir = mkdtempSync(join(tmpdir(), 'retrap-site-'))
  try {
    const configFile = fileURLToPath(new URL('../../build/vite.config.ts', import.meta.url))
    await build({ configFile, logLevel: 'error', build: { outDir } })
    const names = globSync('**/*.*', { cwd: outDir })
    return new Map(names.map((name) => [name.replaceAll('\\', '/'), readFileSync(join(outDir, name))]))
  } finally {
    rmSync(outDir, { recursive: true })
  }
}
