import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build as bundle } from 'vite'
import config from '../../build/vite.config.ts'

/** Builds the site from sources. @returns its files by name */
export async function bundleSite(): Promise<Map<string, Uint8Array>> {
  const outDir = mkdtempSync(join(tmpdir(), 'retrap-site-'))
  try {
    // Imported here, and not by vite: packages are their sources in tests, built or not.
    await bundle({ ...config, configFile: false, logLevel: 'error', build: { ...config.build, outDir } })
    const names = globSync('**/*.*', { cwd: outDir })
    return new Map(names.map((name) => [name.replaceAll('\\', '/'), readFileSync(join(outDir, name))]))
  } finally {
    rmSync(outDir, { recursive: true })
  }
}
