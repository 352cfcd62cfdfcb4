"""The usage store in the real daemon: whose files, what its verbs answer, and what a bad file or disk does to it."""
import json
import os
import pwd
import stat

from namespace import wait_until

POLICY = 'zone = "UTC"\n'


def store(sluice):
    return sluice.directory / "state" / "usage" / "usage.db"


def test_the_store_is_the_keepers_own_and_for_nobody_else(fresh):
    sluice = fresh(POLICY)
    wait_until(store(sluice).exists, 5, "the store is there")
    nobody = pwd.getpwnam("nobody").pw_uid
    folder, file = store(sluice).parent.stat(), store(sluice).stat()
    assert (folder.st_uid, stat.S_IMODE(folder.st_mode)) == (nobody, 0o700)
    assert (file.st_uid, stat.S_IMODE(file.st_mode)) == (nobody, 0o600)
    assert "usage_trouble" not in sluice.ctl_json("status")


def test_an_empty_store_answers(fresh):
    sluice = fresh(POLICY)
    data = sluice.ctl_json("usage", "--by", "day", "--since", "2026-01-01")
    assert data["by"] == "day" and data["rows"] == [] and data["total"]["bytes"] == 0
    assert data["since"] == "2026-01-01T00:00:00Z" and data["until"] is None
    done = sluice.ctl("usage", "--by", "user", "--csv")
    assert done.returncode == 0 and done.stdout.splitlines() == ["user,bytes_up,bytes_down,bytes,minutes"]
    assert sluice.ctl("usage").stdout.startswith("by user, since ")


def test_exit_codes(fresh):
    sluice = fresh(POLICY)
    for arguments, code in ((("usage", "--by", "colour"), 2), (("usage", "--since", "soon"), 2),
                            (("usage", "--limit", "none"), 2), (("usage", "what"), 2), (("person",), 2),
                            (("person", "praise", "jane"), 2), (("person", "export"), 2),
                            (("person", "export", "jane"), 1), (("person", "erase", "jane"), 1)):
        done = sluice.ctl(*arguments)
        assert done.returncode == code, (arguments, done.stdout + done.stderr)


def test_who_asks_for_a_person_is_in_the_log(fresh):
    sluice = fresh(POLICY)
    sluice.ctl("person", "export", "jane")
    sluice.ctl("person", "erase", "jane-to-be-forgotten")
    wait_until(lambda: "uid 0 erased a person" in sluice.log_text, 5, "the erasure is in the log")
    assert "uid 0 exported everything about 'jane'" in sluice.log_text
    assert "jane-to-be-forgotten" not in sluice.log_text


def test_off_makes_no_file_and_says_so(fresh):
    sluice = fresh(POLICY, accounting={"store": "off"})
    done = sluice.ctl("usage")
    assert done.returncode == 1 and "off" in done.stdout, done.stdout + done.stderr
    assert not store(sluice).exists()


def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(fresh):
    sluice = fresh(POLICY, start=False)
    store(sluice).parent.mkdir()
    store(sluice).write_text("this was no database\n" * 500)
    os.chown(store(sluice), *pwd.getpwnam("nobody")[2:4])
    sluice.start()
    wait_until(lambda: "moved aside" in sluice.log_text, 5, "the damage is said")
    aside = list(store(sluice).parent.glob("usage.db.corrupt-*"))
    assert len(aside) == 1 and aside[0].read_text().startswith("this was no database")
    assert sluice.ctl_json("usage")["rows"] == []
    assert "usage_trouble" not in sluice.ctl_json("status")


def test_a_folder_of_others_is_trouble_in_status_until_it_is_ours(fresh):
    sluice = fresh(POLICY, start=False)
    folder = sluice.directory / "elsewhere"
    folder.mkdir(mode=0o755)
    sluice.write(accounting={"store": str(folder / "usage.db"), "flush": "1s"})
    sluice.start()
    wait_until(lambda: "usage_trouble" in sluice.ctl_json("status"), 5, "status tells")
    assert sluice.ctl("usage").returncode == 0
    os.chown(folder, *pwd.getpwnam("nobody")[2:4])
    wait_until(lambda: "usage_trouble" not in sluice.ctl_json("status"), 5, "it is tried again")
    assert sluice.log_text.count("cannot be written") == 1


def test_a_changed_key_needs_a_restart(fresh):
    sluice = fresh(POLICY)
    sluice.write(accounting={"hosts": 7})
    done = sluice.ctl("reload")
    assert done.returncode == 2 and "accounting.hosts" in done.stdout + done.stderr


def test_a_killed_keeper_opens_its_store_again(fresh):
    sluice = fresh(POLICY, accounting={"flush": "1s"})
    pid = sluice.signal("keeper", 9)
    wait_until(lambda: sluice.role("keeper") not in (None, pid), 5, "a new keeper")
    wait_until(lambda: sluice.ctl("usage").returncode == 0, 5, "it answers")
    assert json.loads(sluice.ctl("usage", "--json").stdout)["total"]["bytes"] == 0
    assert "moved aside" not in sluice.log_text
