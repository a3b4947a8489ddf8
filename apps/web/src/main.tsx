import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { MachinePage } from './machine-page.tsx'
import { dropOrphans, goOnFrom } from './saved-machines.ts'
import { keepSite } from './offline.ts'
import type { Chosen } from './settings.ts'
import { SAVED_HASH } from './snapshots-panel.tsx'
import { StartPage } from './start-page.tsx'

function App() {
  const [chosen, choose] = useState<Chosen | null>(null)
  const [error, setError] = useState('')
  useEffect(() => {
    if (!location.hash.startsWith(SAVED_HASH)) return
    const id = location.hash.slice(SAVED_HASH.length)
    history.replaceState(null, '', location.pathname)
    goOnFrom(id).then(choose, (thrown: unknown) => setError(thrown instanceof Error ? thrown.message : String(thrown)))
  }, [])
  return (
    <>
      <header>
        <h1>retrap</h1>
        <span class="soft">a 64-bit PC in this page</span>
      </header>
      <main>
        {error !== '' && (
          <p class="wrong" role="alert">
            {error}
          </p>
        )}
        {chosen === null ? <StartPage start={choose} /> : <MachinePage chosen={chosen} close={() => choose(null)} />}
      </main>
    </>
  )
}

render(<App />, document.getElementById('app')!)
void keepSite()
void dropOrphans()
